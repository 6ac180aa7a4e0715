"""The stand-ins have the methods of what they stand in for; and failures that they make easy to see."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from ray.exceptions import ActorDiedError
from stand_ins import (
    StandInEngine,
    StandInTrainEngine,
    learner_actor,
    local,
    rollout_actor,
    single_turn,
    taught,
)

from reprise.actors.errors import ActorFailure
from reprise.actors.learner import LearnerActor
from reprise.actors.learner_group import LearnerGroup
from reprise.actors.rollout import RolloutActor
from reprise.core.errors import RunError
from reprise.core.types import Group
from reprise.learner.engine import Engine
from reprise.learner.learner import Learner
from reprise.learner.settings import LearnerSettings, SaveSettings
from reprise.learner.train_engine import TrainEngine
from reprise.rollout.engine import RolloutEngine, WeightReceiving
from reprise.rollout.settings import RolloutSettings


def declared(*protocols: type) -> dict[str, list[str]]:
    """The methods of a protocol, each with the names of its arguments."""
    found = {name: value for protocol in protocols for name, value in vars(protocol).items() if name[0] != "_"}
    return {name: arguments(value) for name, value in found.items() if callable(value)}


def arguments(method: Any) -> list[str]:
    return list(inspect.signature(method).parameters)


@pytest.mark.parametrize("implementation", [Engine, StandInTrainEngine])
def test_a_train_engine_has_the_methods_of_the_protocol(implementation: type) -> None:
    for name, expected in declared(TrainEngine).items():
        assert name in vars(implementation), f"{name} is inherited from the protocol, which does nothing"
        assert arguments(vars(implementation)[name])[: len(expected)] == expected


def test_the_stand_in_engine_has_the_methods_of_the_protocol() -> None:
    for name, expected in declared(RolloutEngine, WeightReceiving).items():
        assert arguments(vars(StandInEngine)[name]) == expected


# --- the learner on a train engine that is no DeepSpeed ---------------------------------------------------------------


@pytest.mark.parametrize(("minibatches", "epochs"), [(1, 1), (2, 1), (2, 3)])
def test_the_objective_runs_on_any_train_engine_and_makes_what_was_rewarded_likelier(
    minibatches: int, epochs: int
) -> None:
    engine = StandInTrainEngine()
    learner = Learner(engine, LearnerSettings(minibatches=minibatches, epochs=epochs, lr=0.1), seed=0)
    metrics = learner.train_batch([taught(5, 9)], 0)
    assert engine.optimizer_steps == minibatches * epochs
    assert metrics
    table = engine.policy().exp()
    assert table[5] > table[0] > table[9]


def ranks(engine: StandInTrainEngine, step_deadline_s: float = 5) -> LearnerGroup:
    settings = LearnerSettings(step_deadline_s=step_deadline_s)
    return LearnerGroup([local(learner_actor(engine, settings))], settings)


def train(learner: LearnerGroup) -> Any:
    async def run() -> Any:
        batch: Any = asyncio.get_running_loop().create_future()
        batch.set_result([taught(5, 9)])
        return await learner.train(batch, 0)

    return asyncio.run(run())


def test_a_batch_goes_through_group_actor_learner_and_engine() -> None:
    engine = StandInTrainEngine()
    assert train(ranks(engine)).started > 0
    assert engine.optimizer_steps == 1


@pytest.mark.parametrize(
    ("error", "raised", "words"),
    [
        (RunError("10 steps in a row were skipped"), RunError, "10 steps in a row"),
        (ActorDiedError(), ActorFailure, "learner 0 has failed"),
    ],
)
def test_a_step_that_fails_is_raised_as_what_it_is(error: Exception, raised: type[Exception], words: str) -> None:
    engine = StandInTrainEngine()
    engine.fails["optimizer_step"] = error
    learner = ranks(engine)
    with pytest.raises(raised, match=words):
        train(learner)


@pytest.mark.timeout(30)
def test_a_step_that_hangs_meets_its_deadline_and_says_what_was_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    async def hangs(self: LearnerActor, groups: Sequence[Group], version: int) -> None:
        await asyncio.Event().wait()

    hangs.__name__ = "train"
    monkeypatch.setattr(LearnerActor, "train", hangs)
    learner = ranks(StandInTrainEngine(), step_deadline_s=0.05)
    with pytest.raises(TimeoutError, match=r"the learner did not finish `train` within 0.05 s"):
        train(learner)
    assert learner.failed


def test_a_checkpoint_brings_back_the_order_of_minibatches_and_what_the_driver_gave(tmp_path: Path) -> None:
    engine = StandInTrainEngine()
    actor = learner_actor(engine, LearnerSettings())

    async def run() -> Any:
        await actor.keep_checkpoints(tmp_path, SaveSettings(), None)
        await actor.save(3, {"version": 3})
        before = actor._learner._order.permutation(100)
        driver = await actor.keep_checkpoints(tmp_path, SaveSettings(), tmp_path / "3")
        return driver, before, actor._learner._order.permutation(100)

    driver, before, after = asyncio.run(run())
    assert driver == {"version": 3}
    assert (before == after).all()


# --- the rollout actor on an engine that is no vLLM -------------------------------------------------------------------


def test_an_engine_that_can_no_longer_answer_ends_the_actor_s_watch(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("reprise.actors.rollout._HEALTH_PERIOD_S", 0.01)
    engine = StandInEngine()
    actor = rollout_actor(engine, single_turn(RolloutSettings()))

    async def run() -> None:
        watch = asyncio.ensure_future(actor.alive())
        await asyncio.sleep(0.05)
        assert not watch.done()
        engine.fails["check_health"] = RuntimeError("its process is gone")
        await watch

    with pytest.raises(RuntimeError, match="its process is gone"):
        asyncio.run(run())


def test_the_actor_starts_the_engine_that_the_recipe_names(tiny_policy: Path) -> None:
    settings = RolloutSettings.model_validate({"engine": {"use": "stand_ins:StandInEngine"}})
    actor = RolloutActor(settings, tiny_policy, "float32", "", 0)
    asyncio.run(actor.start())
    assert isinstance(actor._engine, StandInEngine)
