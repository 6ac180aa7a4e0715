"""What an actor refuses of the node that it is placed on, before it loads anything."""

from __future__ import annotations

import asyncio
import socket
from pathlib import Path

import pytest

from reprise.actors.learner import LearnerActor
from reprise.actors.rollout import RolloutActor
from reprise.core.errors import UserError
from reprise.learner.settings import LearnerSettings
from reprise.rollout import entry_points
from reprise.rollout.settings import RolloutSettings


def engine(policy_dir: Path) -> RolloutActor:
    return RolloutActor(RolloutSettings(), policy_dir, "float32", "shared_memory", 0)


def test_an_engine_s_node_must_see_the_policy(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=f"node {socket.gethostname()} does not see the policy's folder .*/nowhere"):
        asyncio.run(engine(tmp_path / "nowhere").start())


def test_a_learner_s_node_must_see_the_policy(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    place = (0, ("127.0.0.1", 1), 0)
    with pytest.raises(UserError, match="set runs_dir to a folder that all nodes share"):
        asyncio.run(LearnerActor().start(LearnerSettings(), tmp_path / "nowhere", "float32", 1.0, *place))
    assert "does not see the policy's folder" in capfd.readouterr().err, "its log has it too"


def test_an_engine_s_node_must_have_reprise_installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "config.json").write_text("{}")
    monkeypatch.setattr(entry_points, "entry_points", lambda group: ())
    with pytest.raises(UserError, match="reprise itself is not installed in this environment"):
        asyncio.run(engine(tmp_path).start())
