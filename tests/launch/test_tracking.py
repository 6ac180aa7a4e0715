"""wandb is beside the run, never in its way."""

import sys
from types import SimpleNamespace

import pytest

from launch.run_folder import RunFolder
from launch.settings import TrackingSettings
from launch.tracking import Tracker


@pytest.fixture
def run(tmp_path) -> RunFolder:
    return RunFolder.create(tmp_path, "demo")


@pytest.fixture
def no_login(monkeypatch, tmp_path):
    """A machine that never saw a wandb login."""
    monkeypatch.delenv("WANDB_API_KEY", raising=False)
    monkeypatch.delenv("WANDB_MODE", raising=False)
    monkeypatch.setenv("NETRC", str(tmp_path / "no-netrc"))


def tracked(settings: TrackingSettings, run: RunFolder) -> tuple[Tracker, list[str]]:
    notes: list[str] = []
    return Tracker(settings, run, {"steps": 3}, notes.append), notes


def test_offline_tracking_stays_in_the_run_folder(run, no_login, capfd):
    tracker, notes = tracked(TrackingSettings(), run)
    tracker.log(1, {"reward/mean": 0.5, "policy/entropy": float("nan")})
    tracker.close()
    (record,) = run.path.glob("wandb/offline-run-*/*.wandb")
    assert b"reward/mean" in record.read_bytes()
    assert (tracker.failures, notes) == (0, [])
    assert capfd.readouterr() == ("", ""), "tracking is quiet"


def test_online_without_a_login_becomes_offline_and_says_so_once(run, no_login):
    tracker, notes = tracked(TrackingSettings(wandb="online"), run)
    tracker.log(1, {"reward/mean": 0.5})
    tracker.close()
    assert tracker.failures == 1
    assert len(notes) == 1
    assert "offline" in notes[0]
    assert list(run.path.glob("wandb/offline-run-*"))


def test_disabled_tracking_does_nothing(run):
    tracker, notes = tracked(TrackingSettings(wandb="disabled"), run)
    tracker.log(1, {"reward/mean": 0.5})
    tracker.close()
    assert (tracker.failures, notes, list(run.path.iterdir())) == (0, [], [])


def test_a_tracker_that_cannot_start_is_noted_once_and_the_run_goes_on(run, monkeypatch):
    def broken(**_):
        raise OSError("no space left")

    monkeypatch.setitem(sys.modules, "wandb", SimpleNamespace(init=broken, Settings=lambda **_: None))
    tracker, notes = tracked(TrackingSettings(), run)
    tracker.log(1, {"reward/mean": 0.5})
    tracker.close()
    assert tracker.failures == 1
    assert len(notes) == 1
    assert "no space left" in notes[0]


def test_a_tracker_that_breaks_later_is_counted_and_noted_once(run, monkeypatch):
    def broken(*_, **__):
        raise ConnectionError("service is gone")

    calls = SimpleNamespace(log=broken, finish=broken)
    wandb = SimpleNamespace(init=lambda **_: calls, Settings=lambda **_: None, teardown=lambda: None)
    monkeypatch.setitem(sys.modules, "wandb", wandb)
    tracker, notes = tracked(TrackingSettings(), run)
    tracker.log(1, {"reward/mean": 0.5})
    tracker.log(2, {"reward/mean": 0.5})
    tracker.close()
    assert tracker.failures == 3
    assert len(notes) == 1
