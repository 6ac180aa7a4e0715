"""summary.json: its keys, and the table at the end."""

import io
import json
from dataclasses import asdict

import pytest
from rich.console import Console

from reprise.launch.reporting.run_folder import RunFolder, Sample
from reprise.launch.reporting.statistics import EvalRecord, Evaluation
from reprise.launch.reporting.summary import Summary, TrajectoryCounts
from reprise.launch.reporting.verifiers import Latency


def evaluation(**passed_of_100: int) -> Evaluation:
    return Evaluation.of(
        EvalRecord(domain, f"{domain}-{i}", 0, i < passed, parseable=i != 99, truncated=False, tokens=40)
        for domain, passed in passed_of_100.items()
        for i in range(100)
    )


@pytest.fixture
def summary() -> Summary:
    return Summary(
        name="demo",
        before=evaluation(addition=40, reversal=60),
        after=evaluation(addition=80, reversal=30),
        steps=80,
        wall_seconds=500.0,
        learn_seconds=120.0,
        mismatch_start=3e-7,
        trajectories=TrajectoryCounts(
            sampled=400, trained=500, reused=125, unparseable=4, zero_variance=80, truncated=2
        ),
        tokens_per_second=5000.0,
        overlap=0.7,
        nodes={"10.0.0.1": ["learner-0", "engine-0"]},
        phases={"set-up": 40.0, "RL": 300.0},
        failures={"tracking": 1, "steps skipped": 0},
    )


def printed(summary: Summary, width: int = 140) -> str:
    stream = io.StringIO()
    Console(file=stream, width=width, color_system=None).print(summary.table())
    return stream.getvalue()


def test_the_promised_keys_are_there(summary, tmp_path):
    run = RunFolder.create(tmp_path, "demo")
    summary.finished()
    summary.write(run)
    written = json.loads(run.summary.read_text())
    assert written["pass_at_1"]["before"] == {"addition": 0.4, "reversal": 0.6, "all": 0.5}
    assert written["pass_at_1"]["after"] == {"addition": 0.8, "reversal": 0.3, "all": 0.55}
    assert written["trajectories"] == asdict(summary.trajectories)
    assert list(written["trajectories"]) == [
        "sampled", "trained", "reused", "unparseable", "zero_variance", "infra_error", "truncated", "invalid_logprobs",
    ]  # fmt: skip
    for key in ("steps", "wall_seconds", "learn_seconds", "mismatch_start", "tokens_per_second", "overlap", "nodes"):
        assert written[key] == getattr(summary, key)
    assert (written["status"], written["reason"]) == ("finished", "")


def test_intervals_and_changes_stand_beside_the_values(summary):
    written = summary.as_dict()
    low, high = written["pass_at_1_interval"]["before"]["addition"]
    assert low < 0.4 < high
    change = written["pass_at_1_change"]["addition"]
    assert change["low"] < change["value"] < change["high"]
    assert change["value"] == pytest.approx(0.4)
    assert written["evaluation"]["before"]["addition"]["parseable"] == 0.99


def test_answers_latencies_and_warnings_are_in_the_table_and_the_file(summary):
    summary.answers = {"maths": {"scored": 90, "unparseable": 9, "infra_error": 1}, "code": {"scored": 3}}
    summary.verifiers = {"math": Latency(12, p50=0.123, p95=2.0, queue=0.5)}
    summary.warnings.append("step 3: maths: 9% unparseable")
    text = printed(summary)
    for part in ("maths 9.0%  code 0.0%", "math 0.12 s a group (95%: 2 s)", "step 3: maths: 9% unparseable"):
        assert part in text
    written = summary.as_dict()
    assert written["answers"]["maths"]["unparseable"] == 9
    assert written["verifiers"] == {"math": {"groups": 12, "p50": 0.123, "p95": 2.0, "queue": 0.5}}
    assert written["warnings"] == ["step 3: maths: 9% unparseable"]


def test_a_domain_that_fell_beyond_its_interval_is_named(summary):
    assert summary.fallen == ["reversal"]


def test_a_run_that_did_not_finish_says_so_and_is_still_written(tmp_path):
    summary = Summary("demo")
    assert summary.status == "interrupted"
    summary.failed(RuntimeError("engine-0 died"))
    run = RunFolder.create(tmp_path, "demo")
    summary.write(run)
    written = json.loads(run.summary.read_text())
    assert (written["status"], written["reason"]) == ("failed", "RuntimeError: engine-0 died")
    assert written["pass_at_1"] == {"before": {}, "after": {}}
    assert "engine-0 died" in printed(summary)


def test_ctrl_c_is_an_interruption_and_not_a_failure():
    summary = Summary("demo")
    summary.failed(KeyboardInterrupt())
    assert (summary.status, summary.reason) == ("interrupted", "Ctrl-C")


def test_what_is_not_a_number_becomes_null(summary):
    summary.mismatch_start = float("nan")
    assert summary.as_dict()["mismatch_start"] is None


def test_the_table_shows_before_after_change_reuse_and_failures(summary):
    table = printed(summary)
    for text in ("0.400", "0.800", "+40.0", "25% of them reused", "tracking 1", "reversal", "5m00s"):
        assert text in table
    assert "steps skipped" not in table


def test_a_table_of_a_run_without_an_evaluation_after_it(summary):
    summary.after = None
    assert "0.400" in printed(summary)
    assert summary.changes == {}


def test_no_run_overwrites_another(tmp_path):
    names = [RunFolder.create(tmp_path / "runs", "demo").name for _ in range(3)]
    assert names == ["demo", "demo-2", "demo-3"]


def test_samples_keep_any_text(tmp_path):
    run = RunFolder.create(tmp_path, "demo")
    text = 'line\nbreak "quoted" ünï ' + chr(0xD800)
    run.add_samples([Sample("before", "addition", "1", "p", text, "scored", 1.0)])
    run.add_samples([Sample("after", "addition", "1", "p", "r", "unparseable")])
    first, second = (json.loads(line) for line in run.samples.read_text().splitlines())
    assert first["response"] == text
    assert (second["when"], second["score"]) == ("after", None)
