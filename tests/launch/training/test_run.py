"""Whole runs through the command line, on the real stack: one that ends well, and each way of being cut short."""

from __future__ import annotations

import html
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer
from whole_runs import DEMO, ENDLESS, MATHS_AND_CODE, SMALL, TIED, Run

from reprise.launch.cli import main
from reprise.launch.reporting.metrics import CORE
from reprise.learner.checkpoints.folder import latest, step_of

pytestmark = [pytest.mark.slow, pytest.mark.engines, pytest.mark.timeout(600)]


@pytest.fixture
def start(tmp_path: Path, request: pytest.FixtureRequest) -> Callable[..., Run]:
    def begin(settings: dict[str, object], recipe: Path = DEMO) -> Run:
        run = Run(tmp_path, settings, recipe)
        request.addfinalizer(run.kill_all)
        return run

    return begin


def test_a_short_run_trains_reuses_and_leaves_nothing_behind(finished: Run) -> None:
    assert finished.survivors() == []
    summary = finished.summary
    assert summary["status"] == "finished"
    assert summary["steps"] == 4
    assert summary["mismatch_start"] < 1e-3
    assert set(summary["pass_at_1"]["before"]) == {"code", "maths", "all"}
    assert set(summary["pass_at_1"]["after"]) == set(summary["pass_at_1"]["before"])
    counts = summary["trajectories"]
    assert counts["sampled"] >= counts["trained"] - counts["reused"] > 0
    assert counts["reused"] > 0
    assert 0 < summary["overlap"] <= 1
    assert sum(len(actors) for actors in summary["nodes"].values()) == 6


def test_every_step_reports_every_core_metric_within_the_promised_bounds(finished: Run) -> None:
    steps = finished.steps
    assert [line["step"] for line in steps] == [1, 2, 3, 4]
    assert all(set(line) >= CORE for line in steps)
    assert all(line["publish/mismatch"] < 1e-3 for line in steps)
    assert max(line["fresh/staleness_max"] for line in steps) <= 2


def test_the_report_has_plots_and_needs_nothing_else(finished: Run) -> None:
    report = (finished.folder / "report.html").read_text()
    assert "<svg" in report
    assert "://" not in report.replace("http://www.w3.org", "")


def test_domains_that_train_together_are_kept_apart_though_their_verifiers_were_killed(finished: Run) -> None:
    assert finished.output.count("died; it is restarted") == 2
    assert finished.summary["failures"]["verifier/restarts"] == 2
    assert sum(line["verifier/restarts"] for line in finished.steps) == 2
    for domain, verifier in (("maths", "math"), ("code", "code")):
        scored = [line for line in finished.steps if line.get(f"reward/{domain}") is not None]
        assert scored, finished.output
        for line in scored:
            assert 0 <= line[f"reward/{domain}"] <= 1
            assert 0 <= line[f"unparseable/{domain}"] < 0.5
            assert line[f"infra_error/{domain}"] == 0
            assert 0 < line[f"verify/seconds_p50/{verifier}"] <= line[f"verify/seconds_p95/{verifier}"]


@pytest.fixture(scope="module")
def failed(finished: Run, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Run]:
    """A run on the policy that `finished` exported, on two ranks that share rows; in its third step, when step 2 has a
    checkpoint or will have one, its engine's core is killed."""
    shared_rows = {"learner.world_size": 2, "learner.sequence_parallel": 2, "cluster.learner_cpus": 0.5}
    policy = {"policy.path": finished.folder / "policy", "before": "null", "learner.kl_coef": 0.01}
    short = {"steps": 4, "checkpoints.every": 2, "eval.every": 0}
    folder = tmp_path_factory.mktemp("failed")
    run = Run(folder, SMALL | shared_rows | policy | short, MATHS_AND_CODE)
    try:
        run.wait_for("RL (", 400)
        until = time.monotonic() + 200
        while len(run.steps) < 3:
            assert run.process.poll() is None, run.output
            assert time.monotonic() < until, run.output
            time.sleep(0.02)
        run.find("VLLM::EngineCore")[0].kill()
        run.wait(60)
        yield run
    finally:
        run.kill_all()


def failed_for(run: Run, cause: str) -> None:
    assert run.wait(60) == 1, run.output
    assert cause in run.summary["reason"]
    assert run.summary["status"] == "failed"
    assert (run.folder / "report.html").exists()
    assert run.survivors() == []


def test_when_an_engine_s_core_dies_the_run_ends_within_a_minute_with_the_cause(failed: Run, finished: Run) -> None:
    failed_for(failed, "engine 0 has failed: RuntimeError: the engine's core process has died")
    assert f"its log: {failed.folder / 'logs' / 'engine-0.log'}" in failed.summary["reason"]
    assert "EngineDeadError" in (failed.folder / "logs" / "engine-0.log").read_text()
    parseable = finished.summary["evaluation"]["after"]["all"]["parseable"]
    assert abs(failed.lines[0]["eval/parseable/all"] - parseable) < 0.2, "the policy is not the exported one"


def test_no_step_of_a_run_that_failed_is_lost(failed: Run) -> None:
    saved = latest(failed.folder / "checkpoints")
    assert saved is not None
    assert step_of(saved) == failed.steps[-1]["step"]
    assert failed.summary["resume"] == f"reprise train --resume {failed.folder}"
    assert failed.summary["resume"] in failed.output


def test_what_has_failed_goes_on_in_another_layout_and_exports(failed: Run, finished: Run, tmp_path: Path) -> None:
    run = failed
    run.resume("learner.world_size=1", "learner.sequence_parallel=1")
    assert run.wait(390) == 0, run.output
    assert "resumed from the checkpoint of step" in run.output
    assert run.summary["mismatch_start"] < 1e-3
    assert [line["step"] for line in run.steps] == [1, 2, 3, 4]
    # None in the step during which the engine died: it was trained on, and never published.
    assert all(line["publish/mismatch"] < 1e-3 for line in run.steps if line["publish/mismatch"] is not None)
    assert all(line["policy/reference_kl"] >= 0 for line in run.steps)
    assert set(run.summary["pass_at_1"]["before"]) == set(run.summary["pass_at_1"]["after"])
    assert run.survivors() == []

    exported = tmp_path / "exported"
    assert main(["export", str(run.folder), "--to", str(exported)]) == 0
    checkpoint, started = (AutoModelForCausalLM.from_pretrained(d) for d in (exported, finished.folder / "policy"))
    tokens = torch.arange(10, 40)[None]
    with torch.no_grad():
        assert not torch.equal(checkpoint(tokens).logits, started(tokens).logits)
    assert AutoTokenizer.from_pretrained(exported).chat_template


def was_interrupted(run: Run) -> None:
    assert run.wait(60) == 130, run.output
    assert run.summary["status"] == "interrupted"
    assert (run.folder / "report.html").exists()
    assert run.survivors() == []


@pytest.fixture(scope="module")
def interrupted(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Run]:
    """A run of which one of two verifiers raises, and the policy's head is its embedding, after Ctrl-C."""
    raising = {"rewards.verifiers.rules.use": "tests.launch.tried_verifiers:RaisesLater"}
    run = Run(tmp_path_factory.mktemp("interrupted"), {**ENDLESS, **TIED, **raising})
    try:
        run.wait_for("RL (", 400)
        time.sleep(2)
        run.process.send_signal(signal.SIGINT)
        run.wait(60)
        yield run
    finally:
        run.kill_all()


def test_an_interrupted_run_writes_its_report_and_leaves_no_process_behind(interrupted: Run) -> None:
    was_interrupted(interrupted)


def test_what_a_verifier_failed_with_is_shown_at_once_and_in_the_end(interrupted: Run) -> None:
    run = interrupted
    [error] = run.summary["infra_errors"]
    assert error["what"].startswith("verifier 'rules' raised KeyError: 'later' (tried_verifiers.py:")
    assert error["answers"] == run.summary["failures"]["trajectories/infra_error"] > 0
    at_once, table = run.output.split("demo: interrupted")
    for said in (at_once, table, error["traceback"], html.unescape((run.folder / "report.html").read_text())):
        assert 'raise KeyError("later")' in said
    assert "held-out responses could not be verified" in at_once


@pytest.mark.full  # what learner ranks die of, and that their run ends, is seen in test_sft_run.py too
def test_when_a_learner_dies_the_run_ends_within_a_minute_with_the_cause(start: Callable[..., Run]) -> None:
    run = start(ENDLESS | {"before.sft.stages.0.steps": 10_000})
    run.wait_for("warm start (", 200)
    run.find("ray::LearnerActor")[0].kill()
    failed_for(run, "learner 0 has failed")


@pytest.mark.full  # Ctrl-C and going on are seen of RL above, and of supervised stages in test_sft_run.py
def test_a_run_that_is_interrupted_before_rl_goes_on_there(start: Callable[..., Run]) -> None:
    few = {f"before.sft.stages.0.sources.{i}.args.count": 200 for i in range(3)}
    run = start(SMALL | few | {"steps": 1, "before.sft.stages.0.steps": 200, "buffer.starvation_groups": 10**9})
    run.wait_for("warm start 1/200", 200)
    run.process.send_signal(signal.SIGINT)
    was_interrupted(run)
    assert run.summary["resume"] == f"reprise train --resume {run.folder}"
    saved = latest(run.folder / "checkpoints-before")
    assert saved is not None
    assert f"(from step {step_of(saved)} before RL)" in run.output
    run.resume()
    assert run.wait(390) == 0, run.output
    assert f"continuing from the checkpoint of step {step_of(saved)} before RL" in run.output
    assert run.summary["steps"] == 1
    assert run.summary["mismatch_start"] < 1e-3


@pytest.mark.full  # with stand-ins: test_actor_set.py; and Ctrl-C of a real run is seen above
def test_a_run_that_is_stopped_while_it_starts_ends_as_orderly(start: Callable[..., Run]) -> None:
    run = start(ENDLESS)
    until = time.monotonic() + 300
    while not run.find("ray::RolloutActor"):
        assert run.process.poll() is None, run.output
        assert time.monotonic() < until, run.output
        time.sleep(0.1)
    run.process.send_signal(signal.SIGTERM)
    was_interrupted(run)
