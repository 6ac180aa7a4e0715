"""metrics.jsonl: its names, its one table, and what a line may hold."""

import json
from pathlib import Path

import numpy as np
import pytest

from reprise.launch.reporting.metrics import CORE, METRICS, RL_NAMES, SFT_METRICS, MetricsLog, as_markdown, cut_after
from reprise.launch.reporting.run_folder import RunFolder, Sample

# The names people and programs were promised; a change here breaks their dashboards.
PROMISED = """
reward/mean policy/entropy policy/clip_low policy/clip_high policy/ratio_max policy/mismatch_kl policy/offpolicy_kl
policy/is_truncated loss/policy optim/grad_norm optim/lr optim/skipped reuse/fraction reuse/staleness_mean
groups/zero_variance trajectories/unparseable trajectories/truncated trajectories/infra_error
trajectories/invalid_logprobs tokens/response_mean
time/step time/learn time/generate time/verify time/publish time/learner_idle time/engine_idle
throughput/tokens_per_second
"""


def full_step(**changes: float) -> dict[str, float]:
    return dict.fromkeys(CORE, 0.0) | {name.replace("__", "/"): value for name, value in changes.items()}


def lines(path: Path) -> list[dict]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_the_promised_names_are_the_core_names():
    assert set(PROMISED.split()) == CORE


def test_every_metric_is_in_the_table_once_with_unit_and_meaning():
    for table in (METRICS, SFT_METRICS):
        names = [metric.name for metric in table]
        assert len(names) == len(set(names))
        assert all(metric.unit and metric.meaning for metric in table)


def test_the_documentation_is_printed_from_the_table():
    document = Path(__file__).parents[3] / "docs" / "metrics.md"
    assert document.read_text() == as_markdown(), "run: python -m reprise.launch.reporting.metrics > docs/metrics.md"


def test_a_domain_may_have_any_name_but_a_metric_may_not():
    assert "reward/addition" in RL_NAMES
    assert "eval/pass_at_1/all" in RL_NAMES
    assert "reward/" not in RL_NAMES
    assert "reward/addition/mean" not in RL_NAMES
    assert "policy/entropie" not in RL_NAMES


def test_an_unknown_name_is_refused_by_name():
    with pytest.raises(ValueError, match="policy/entropie"):
        RL_NAMES.check(full_step(policy__entropie=0.1))


def test_a_step_without_a_core_name_is_refused_by_name():
    metrics = full_step()
    del metrics["optim/grad_norm"]
    with pytest.raises(ValueError, match="optim/grad_norm"):
        RL_NAMES.check(metrics)


def test_an_evaluation_alone_needs_no_core_names():
    RL_NAMES.check({"eval/pass_at_1/all": 0.5})


def test_each_step_is_one_line_and_on_disk_when_written(tmp_path):
    with MetricsLog(tmp_path / "metrics.jsonl") as log:
        log.write(0, {"eval/pass_at_1/all": 0.25})
        log.write(1, full_step(reward__mean=float(np.float32(0.5)), reward__addition=1))
        first, second = lines(log.path)  # before the file is closed
    assert first == {"step": 0, "eval/pass_at_1/all": 0.25}
    assert second["step"] == 1
    assert second["reward/mean"] == 0.5
    assert second["reward/addition"] == 1


@pytest.mark.parametrize("value", [float("nan"), float("inf"), np.float32("nan")])
def test_what_is_not_a_number_is_written_as_null(tmp_path, value):
    with MetricsLog(tmp_path / "metrics.jsonl") as log:
        log.write(1, full_step(policy__entropy=value))
    assert lines(log.path)[0]["policy/entropy"] is None


def test_a_refused_line_leaves_the_file_as_it_was(tmp_path):
    with MetricsLog(tmp_path / "metrics.jsonl") as log, pytest.raises(ValueError, match="unknown"):
        log.write(1, full_step(nonsense=1.0))
    assert log.path.read_text() == ""


def test_a_resumed_run_cuts_the_lines_it_will_write_again_and_one_half_written(tmp_path):
    with MetricsLog(tmp_path / "metrics.jsonl") as log:
        for step in range(5):
            log.write(step, full_step())
    log.path.write_text(log.path.read_text() + '{"step": 2, "time/st')
    kept = cut_after(log.path, 2)
    assert [line["step"] for line in lines(log.path)] == [0, 1, 2]
    assert kept == lines(log.path)


def test_a_run_resumed_at_its_last_step_cuts_the_evaluation_that_it_will_make_again(tmp_path):
    with MetricsLog(tmp_path / "metrics.jsonl") as log:
        for step in (0, 2, 4):
            if step:
                log.write(step, full_step())
            log.write(step, {"eval/pass_at_1/all": 0.5})
    cut_after(log.path, 4, final=4)
    kept = [(line["step"], "time/step" in line) for line in lines(log.path)]
    assert kept == [(0, False), (2, True), (2, False), (4, True)]


def test_samples_of_an_evaluation_that_is_made_again_go_and_the_others_stay(tmp_path):
    run = RunFolder.create(tmp_path, "r")
    run.drop_samples("after")
    run.add_samples([Sample(when, "d", "t", "p", "r", "scored", 1.0) for when in ("before", "after")])
    run.samples.write_text(run.samples.read_text() + '{"when": "be')
    run.drop_samples("after")
    assert [line["when"] for line in lines(run.samples)] == ["before"]


def test_samples_with_line_separators_in_them_stay_whole_and_half_a_character_at_the_end_goes(tmp_path):
    run = RunFolder.create(tmp_path, "r")
    run.add_samples([Sample("before", "d", "t", "p", "one\u2028two\x85three", "scored", 1.0)])
    whole = run.samples.read_bytes()
    run.samples.write_bytes(whole + '{"when": "before", "response": "é'.encode()[:-1])
    run.drop_samples("after")
    assert run.samples.read_bytes() == whole
