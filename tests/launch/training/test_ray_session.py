"""Joining Ray, and what is left of it; without Ray."""

from __future__ import annotations

import fcntl
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import ray

from reprise.core.errors import RunError, UserError
from reprise.launch.training.ray_session import abandoned, check_address, join_ray


@pytest.fixture
def listening() -> Iterator[int]:
    """A port on which something listens that says nothing."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield server.getsockname()[1]


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        return int(server.getsockname()[1])


@pytest.mark.timeout(60)  # Ray itself goes on trying for minutes
def test_an_address_at_which_nothing_listens_is_refused_at_once() -> None:
    with pytest.raises(UserError, match=r"RAY_ADDRESS 127.0.0.1:\d+: no Ray answers there .*unset RAY_ADDRESS"):
        check_address(f"127.0.0.1:{free_port()}", 120)


@pytest.mark.timeout(60)
def test_an_address_at_which_something_else_listens_is_refused_within_the_deadline(listening: int) -> None:
    with pytest.raises(UserError, match="does not answer as Ray does"):
        check_address(f"127.0.0.1:{listening}", 1)


def test_a_dashboards_address_is_refused() -> None:
    with pytest.raises(UserError, match="for `ray job submit`"):
        check_address("http://127.0.0.1:8265", 120)


def test_a_machine_too_busy_to_start_ray_is_told_in_a_line(monkeypatch: pytest.MonkeyPatch) -> None:
    def init(**_: Any) -> None:
        raise Exception("The current node timed out during startup. This could happen because GCS is overloaded.")

    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    monkeypatch.setattr(ray, "init", init)
    with pytest.raises(RunError, match=r"Ray did not start .*: The current node timed out during startup\. Is it busy"):
        join_ray(120)


def test_only_folders_of_runs_that_live_no_more_are_abandoned(tmp_path: Path) -> None:
    for name in ("session_dead", "session_alive", "session_of_others"):
        (tmp_path / name).mkdir()
    for name in ("session_dead", "session_alive"):
        (tmp_path / name / "reprise.lock").touch()
    with (tmp_path / "session_alive" / "reprise.lock").open("r+") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        assert list(abandoned(tmp_path)) == [tmp_path / "session_dead"]
    assert len(list(abandoned(tmp_path))) == 2
