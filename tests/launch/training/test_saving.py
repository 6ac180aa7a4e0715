"""When a run is saved, and that it never is in the middle of a step."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import pytest
from stand_ins import StandInLearner

from reprise.launch.training import saving as module
from reprise.launch.training.saving import Saving
from reprise.learner.settings import SaveSettings


class Learner(StandInLearner):
    """Notes what it is asked, in order; a step ends when the test says so."""

    def __init__(self, fails: Exception | None = None, hangs: bool = False) -> None:
        super().__init__(fails=fails, hangs=hangs)
        self.goes_on = asyncio.Event()

    async def step(self, number: int) -> str:
        self.asked.append(f"step {number} begins")
        await self.goes_on.wait()
        self.asked.append(f"step {number} ends")
        return f"trained {number}"


def made(learner: Learner, every: int = 2, saved: int = 0) -> tuple[Saving, list[str]]:
    notes: list[str] = []
    return Saving(learner, SaveSettings(every=every), saved, notes.append), notes


async def steps(saving: Saving, learner: Learner, numbers: range) -> None:
    """As a training script does."""
    for number in numbers:
        await saving.step(learner.step(number))
        await saving.done(number, f"cursor {number}")
        await saving.due()


def run(test: Callable[[], Awaitable[None]]) -> None:
    asyncio.run(test())  # type: ignore[arg-type]


def test_every_so_many_steps() -> None:
    async def go() -> None:
        learner = Learner()
        learner.goes_on.set()
        saving, _ = made(learner, every=2)
        await steps(saving, learner, range(1, 6))
        assert [a for a in learner.asked if a.startswith("save")] == ["save 2 cursor 2", "save 4 cursor 4"]

    run(go)


def test_at_an_early_end_the_last_step_is_saved_unless_a_checkpoint_has_it() -> None:
    async def go() -> None:
        learner = Learner()
        learner.goes_on.set()
        saving, notes = made(learner, every=2)
        await steps(saving, learner, range(1, 4))
        await saving.rest()
        assert learner.asked[-2:] == ["save 3 cursor 3", "wait"]
        assert "step 3" in notes[0]
        asked = len(learner.asked)
        await saving.rest()
        assert len(learner.asked) == asked

    run(go)


def test_a_run_that_went_on_and_did_nothing_more_saves_nothing() -> None:
    async def go() -> None:
        learner = Learner()
        await made(learner, saved=7)[0].rest()
        assert learner.asked == []

    run(go)


def test_a_stop_in_a_step_waits_for_its_end_and_saves_that_step() -> None:
    async def go() -> None:
        learner = Learner()
        saving, notes = made(learner, every=0)
        script = asyncio.create_task(steps(saving, learner, range(1, 9)))
        await asyncio.sleep(0)
        script.cancel()
        await asyncio.sleep(0.01)
        assert not script.done()
        learner.goes_on.set()
        with pytest.raises(asyncio.CancelledError):
            await script
        await saving.rest()
        assert learner.asked == ["step 1 begins", "step 1 ends", "save 1 cursor 1", "wait"]
        assert len(notes) == 2

    run(go)


def test_a_second_stop_in_a_step_saves_nothing_for_nobody_knows_which_step_that_would_be() -> None:
    async def go() -> None:
        learner = Learner()
        saving, _ = made(learner)
        script = asyncio.create_task(steps(saving, learner, range(1, 9)))
        for _ in range(2):
            await asyncio.sleep(0)
            script.cancel()
            await asyncio.sleep(0.01)
        with pytest.raises(asyncio.CancelledError):
            await script
        await saving.rest()
        assert learner.asked == ["step 1 begins"]

    run(go)


def test_a_second_stop_ends_the_saving() -> None:
    async def go() -> None:
        learner = Learner(hangs=True)
        learner.goes_on.set()
        saving, _ = made(learner, every=0)
        await steps(saving, learner, range(1, 2))
        rest = asyncio.create_task(saving.rest())
        await asyncio.sleep(0.01)
        rest.cancel()
        with pytest.raises(asyncio.CancelledError):
            await rest

    run(go)


def test_saving_that_fails_or_hangs_is_reported_and_ends_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "DEADLINE_S", 0.02)

    async def go() -> None:
        for learner, words in (
            (Learner(fails=OSError(28, "No space left on device")), "No space left on device"),
            (Learner(hangs=True), "within 0.02 s"),
        ):
            learner.goes_on.set()
            saving, notes = made(learner, every=0)
            await steps(saving, learner, range(1, 2))
            await saving.rest()
            assert words in notes[-1]

    run(go)


def test_a_learner_that_failed_is_not_asked() -> None:
    async def go() -> None:
        learner = Learner()
        learner.goes_on.set()
        saving, _ = made(learner, every=0)
        await steps(saving, learner, range(1, 2))
        learner.failed = True
        await saving.rest()
        assert learner.asked == ["step 1 begins", "step 1 ends"]

    run(go)


def test_a_step_that_fails_while_the_run_is_stopped_is_raised_as_what_it_is() -> None:
    class Breaks(Learner):
        async def step(self, number: int) -> str:
            await self.goes_on.wait()
            raise RuntimeError("CUDA out of memory")

    async def go() -> None:
        learner = Breaks()
        saving, _ = made(learner)
        script = asyncio.create_task(steps(saving, learner, range(1, 3)))
        await asyncio.sleep(0)
        script.cancel()
        await asyncio.sleep(0.01)
        learner.goes_on.set()
        with pytest.raises(RuntimeError, match="CUDA out of memory"):
            await script
        await saving.rest()
        assert learner.asked == []

    run(go)
