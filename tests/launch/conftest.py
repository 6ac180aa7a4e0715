"""The whole run that several tests look at: it starts with the first test of this folder and goes on beside the others,
which need one core only."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor

import pytest
from whole_runs import MATHS_AND_CODE, MOTIF2, SMALL, Run


@pytest.fixture(scope="session", autouse=True)
def running(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Future[Run] | None]:
    """The run of `finished`, to wait for; None if no test that was chosen asks for it."""
    if not any("finished" in getattr(item, "fixturenames", ()) for item in request.session.items):
        yield None
        return
    two_engines = {"rollout.engines": 2, "cluster.engine_cpus": 0.5, "rollout.engine.start_deadline_s": 400}
    short = {"steps": 4, "warm_start.steps": 300}
    run = Run(tmp_path_factory.mktemp("finished"), SMALL | MOTIF2 | two_engines | short, MATHS_AND_CODE)
    with ThreadPoolExecutor(1) as beside:
        yield beside.submit(_without_its_verifiers, run)
        run.kill_all()


def _without_its_verifiers(run: Run) -> Run:
    """Kills the verifiers when RL begins, and waits for the end."""
    run.wait_for("RL (", 400)
    verifiers = run.find("ray::VerifierActor")
    assert len(verifiers) == 2
    for verifier in verifiers:
        verifier.kill()
    assert run.wait(350) == 0, run.output
    return run


@pytest.fixture(scope="session")
def finished(running: Future[Run]) -> Run:
    """A short run that ended well, though its verifiers were killed: warm start, two engines, four RL steps,
    evaluations."""
    return running.result(800)
