"""wandb is beside the run, never in its way."""

import struct
import sys
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from unittest.mock import MagicMock

import pytest
from wandb.proto.wandb_internal_pb2 import Record  # type: ignore[attr-defined]

from reprise.launch.recipe.settings import TrackingSettings
from reprise.launch.reporting import recorder, run_recorder, sft_recorder
from reprise.launch.reporting.run_folder import RunFolder
from reprise.launch.reporting.tracking import Tracker


@pytest.fixture
def run(tmp_path) -> RunFolder:
    return RunFolder.create(tmp_path, "demo")


@pytest.fixture
def no_login(monkeypatch, tmp_path):
    """A machine that never saw a wandb login."""
    monkeypatch.delenv("WANDB_API_KEY", raising=False)
    monkeypatch.delenv("WANDB_MODE", raising=False)
    monkeypatch.setenv("NETRC", str(tmp_path / "no-netrc"))


def tracked(settings: TrackingSettings, run: RunFolder, resumed_at: int | None = None) -> tuple[Tracker, list[str]]:
    notes: list[str] = []
    return Tracker(settings, run, {"steps": 3}, notes.append, resumed_at), notes


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
    assert f"`wandb sync {run.path}/wandb/offline-run-*` sends it later" in notes[0]
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


def records(part: Path) -> list[Any]:
    """What a part of a wandb run holds, in order. The format is LevelDB's log, behind a header of 7 bytes."""
    content, at, whole, found = part.read_bytes(), 7, b"", []
    while at + 7 <= len(content):
        if (left := 32768 - at % 32768) < 7:
            at += left
            continue
        length, kind = struct.unpack("<HB", content[at + 4 : at + 7])
        whole += content[at + 7 : at + 7 + length]
        at += 7 + length
        if kind in (1, 4):
            found.append(Record.FromString(whole))
            whole = b""
    return found


def test_a_resumed_run_goes_on_with_the_same_wandb_run_without_the_steps_that_were_cut(run, no_login):
    tracker, _ = tracked(TrackingSettings(), run)
    for step in range(1, 6):
        tracker.log(step, {"reward/mean": step / 10})
    tracker.close()
    (first,) = run.path.glob("wandb/offline-run-*/*.wandb")
    while time.strftime("%S") == first.parent.name[22:24]:  # wandb names the parts of a run by the second
        time.sleep(0.1)
    resumed, notes = tracked(TrackingSettings(), run, resumed_at=3)
    resumed.log(4, {"reward/mean": 0.9})
    resumed.close()
    assert (resumed.failures, notes) == (0, [])
    second = max(run.path.glob("wandb/offline-run-*/*.wandb"))
    assert second != first
    runs = [next(r.run for r in records(part) if r.WhichOneof("record_type") == "run") for part in (first, second)]
    assert runs[0].run_id == runs[1].run_id
    rewound = runs[1].branch_point
    assert (rewound.run, rewound.metric, rewound.value) == (runs[0].run_id, "_step", 3)


def test_a_server_that_does_not_rewind_gets_a_new_run_and_it_is_said(run, monkeypatch):
    (run.path / "wandb" / "run-20261130_030818-abc-123").mkdir(parents=True)
    (run.path / "wandb" / "offline-run-20261129_030818-older").mkdir()
    started = []

    def init(**options):
        started.append(options["resume_from"])
        if options["resume_from"]:
            raise RuntimeError("rewinding is not enabled")
        return SimpleNamespace(log=lambda *_, **__: None, finish=lambda **_: None)

    stand_in = SimpleNamespace(init=init, Settings=lambda **_: None, login=lambda **_: True, teardown=lambda: None)
    monkeypatch.setitem(sys.modules, "wandb", stand_in)
    tracker, notes = tracked(TrackingSettings(wandb="online"), run, resumed_at=7)
    tracker.close()
    assert started == ["abc-123?_step=7", None]
    assert notes == ["wandb does not continue abc-123?_step=7 (rewinding is not enabled): this is a new wandb run"]


class _Stop(Exception):
    """The tracker has been made: nothing else is wanted."""


@pytest.mark.parametrize("kind", ["rl", "sft"])
def test_a_resumed_run_tells_its_tracker_where_it_goes_on(kind, run, monkeypatch):
    def tracker(*arguments):
        assert arguments[4] == 40
        raise _Stop

    recipe = MagicMock(stages=[])
    monkeypatch.setattr(RunFolder, "last_checkpoint", lambda *_: Path("step-000040"))
    monkeypatch.setattr(run_recorder, "Tracker", tracker)
    monkeypatch.setattr(recorder, "phases", lambda *_: [])
    with pytest.raises(_Stop):
        recorder.Recorder(recipe, run, True) if kind == "rl" else sft_recorder.SftRecorder(recipe, run, True)
