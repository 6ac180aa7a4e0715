"""The whole run that several tests look at."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from whole_runs import MATHS_AND_CODE, MOTIF2, SMALL, Run


@pytest.fixture(scope="session")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Run]:
    """A short run that ended well, though its verifiers were killed when RL began: a supervised stage, two engines,
    four RL steps, evaluations."""
    two_engines = {"rollout.engines": 2, "cluster.engine_cpus": 0.5}
    short = {"steps": 4, "before.sft.stages.0.steps": 200}
    run = Run(tmp_path_factory.mktemp("finished"), SMALL | MOTIF2 | two_engines | short, MATHS_AND_CODE)
    try:
        run.wait_for("RL (", 400)
        verifiers = run.find("ray::VerifierActor")
        assert len(verifiers) == 2
        for verifier in verifiers:
            verifier.kill()
        assert run.wait(350) == 0, run.output
        yield run
    finally:
        run.kill_all()
