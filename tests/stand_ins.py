"""What stands in for the parts that need a real model, behind the product's own protocols (test_stand_ins.py).

`StandInEngine` is a `RolloutEngine` and `StandInTrainEngine` a `TrainEngine`. Both hold a policy of the same kind, a
table of logits that looks at no context: weights can be trained, published, received and compared. `local` runs an
actor without Ray; `StandInFleet` and `StandInLearner` are a `Fleet` and a `LearnerGroup` for what is above them.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Coroutine, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from types import SimpleNamespace
from typing import Any, TypeVar, cast

import numpy as np
import torch
from small_groups import group

from reprise.actors.fleet import Fleet, Sampled
from reprise.actors.learner import LearnerActor
from reprise.actors.learner_group import LearnerGroup
from reprise.actors.remote import Actor
from reprise.actors.rollout import RolloutActor
from reprise.core.transport import Message, WeightReceiver
from reprise.core.types import FinishReason, Float32, Group, Int32, Task, Verdict
from reprise.learner.packing import Document, document
from reprise.learner.publishing.control import EngineCallError
from reprise.learner.sequence_parallel import SumOverRanks
from reprise.learner.settings import SaveSettings
from reprise.learner.settings import TrainEngineSettings as TrainEngineSettings
from reprise.learner.train_engine import FrozenPolicy, LossOf, OptimizerStep, Share, TrainEngine
from reprise.models.tiny import character_tokenizer
from reprise.rewards.pool.verifier_pool import Verified
from reprise.rollout.engine import Completion, Dtype, EngineStats, RolloutEngine, Sampling
from reprise.rollout.episodes.base import Episode, Responses, SampleRequest
from reprise.rollout.episodes.single_turn import SingleTurn
from reprise.rollout.settings import RolloutSettings

A = TypeVar("A")
RIGHT = Verdict.scored(1.0)
VOCABULARY = 128  # the tiny policy's tokenizer has 106 tokens


class Table(torch.nn.Module):
    """A policy whose logits are the same whatever came before."""

    def __init__(self) -> None:
        super().__init__()
        self.first = torch.nn.Parameter(torch.zeros(VOCABULARY))
        self.second = torch.nn.Parameter(torch.zeros(VOCABULARY))
        self.config = SimpleNamespace(vocab_size=VOCABULARY)

    def forward(self, temperature: float = 1.0) -> torch.Tensor:
        """Log-probabilities of all tokens, float32[V]."""
        return torch.log_softmax((self.first + self.second) / temperature, 0)


# ---- engine ----------------------------------------------------------------------------------------------------------


def tokens(ids: Sequence[int] | Int32, logprob: float = -1.0, version: int = 0, truncated: bool = False) -> Completion:
    """A completion of these tokens, all with the same log-probability and version."""
    count = len(ids)
    reason = FinishReason.LENGTH if truncated else FinishReason.STOP
    return Completion(
        np.asarray(ids, np.int32), np.full(count, logprob, np.float32), np.full(count, version, np.int32), reason
    )


class StandInEngine(RolloutEngine):
    """Says what `respond` gives for response i, after `seconds`; takes weights as a transport brings them.

    fails  what a method of this name raises
    holds  a method of this name blocks its thread until the event is set
    asked  every prompt with its sampling
    calls  the names of all calls but `sample`, in order
    """

    def __init__(
        self,
        settings: RolloutSettings | None = None,
        policy_dir: Path = Path(),
        *,
        dtype: Dtype = "float32",
        transport: str = "",
        seed: int = 0,
    ) -> None:
        self.respond: Callable[[int], Completion] = lambda i: tokens([1, 1, 1, 1])
        self.seconds = 0.0
        self.fails: dict[str, Exception] = {}
        self.holds: dict[str, threading.Event] = {}
        self.asked: list[tuple[Int32, Sampling]] = []
        self.calls: list[str] = []
        self.policy, self.version = Table(), -1

    def _called(self, method: str) -> None:
        self.calls.append(method)
        if method in self.holds:
            self.holds[method].wait(30)
        if method in self.fails:
            raise self.fails[method]

    async def sample(self, prompt_ids: Int32, sampling: Sampling) -> list[Completion]:
        self.asked.append((prompt_ids, sampling))
        if "sample" in self.fails:
            raise self.fails["sample"]
        await asyncio.sleep(self.seconds)
        return [self.respond(i) for i in range(sampling.n)]

    async def score(self, token_ids: Sequence[int]) -> Float32:
        self._called("score")
        with torch.no_grad():
            return self.policy()[list(token_ids[1:])].numpy()

    async def init_weights(self, message: Message) -> None:
        self._called("init_weights")
        self.receiver = WeightReceiver(message)

    async def begin_weights(self) -> None:
        self._called("begin_weights")
        self.receiver.begin()

    async def write_weights(self, message: Message) -> None:
        self._called("write_weights")
        self.policy.load_state_dict({n: t.clone() for n, t in self.receiver.read(message)}, strict=False)
        if message["last"]:
            self.receiver.check_complete()

    async def finish_weights(self, version: int) -> None:
        self._called("finish_weights")
        self.version = version

    def stats(self) -> EngineStats:
        return EngineStats(busy=(), tokens=0, recomputed_tokens=0)

    def check_health(self) -> None:
        if "check_health" in self.fails:
            raise self.fails["check_health"]

    async def close(self) -> None:
        self._called("close")


# ---- learner ---------------------------------------------------------------------------------------------------------


class StandInTrainEngine(TrainEngine):
    """One rank that trains a `Table` by plain gradient descent.

    fails  what a method of this name raises
    saves  what was given to `save`, by step
    """

    def __init__(self, settings: TrainEngineSettings | None = None, temperature: float = 1.0) -> None:
        self.settings = settings or TrainEngineSettings()
        self.rank, self.world_size, self.device = 0, 1, torch.device("cpu")
        self.dtype, self.policy_dir, self.optimizer_steps = "float32", Path(), 0
        self.policy, self.temperature = Table(), temperature
        self.fails: dict[str, Exception] = {}
        self.saves: dict[int, Mapping[str, object]] = {}

    @property
    def model(self) -> Any:
        return self.policy

    def optimizer_step(
        self,
        documents: Sequence[Document],
        lr: float,
        loss_of: LossOf,
        normaliser: float | None = None,
        with_entropy: bool = False,
    ) -> OptimizerStep:
        if "optimizer_step" in self.fails:
            raise self.fails["optimizer_step"]
        targets = [d.tokens[d.targets] for d in documents]
        count = sum(map(len, targets))
        owners = torch.repeat_interleave(torch.arange(len(documents)), torch.tensor([len(t) for t in targets]))
        share = Share(list(range(len(documents))), slice(0, count), owners, SumOverRanks(None))
        table = self.policy(self.temperature)
        entropies = -(table.exp() * table).sum().detach().expand(count)
        loss = loss_of(share, table[np.concatenate(targets)], entropies if with_entropy else None)
        (loss / (normaliser or count)).backward()
        for parameter in self.policy.parameters():
            assert parameter.grad is not None
            parameter.data -= lr * parameter.grad
            parameter.grad = None
        self.optimizer_steps += 1
        return OptimizerStep(True, 1.0, lr, count, padding=0.0, imbalance=0.0)

    def begin_stage(self, settings: TrainEngineSettings) -> None:
        self.optimizer_steps = 0

    def logprobs(self, sequences: Sequence[tuple[Int32, Int32]], temperature: float | None = None) -> list[Float32]:
        return self._logprobs([document(*sequence) for sequence in sequences], temperature or self.temperature)

    def document_logprobs(self, documents: Sequence[Document]) -> list[Float32]:
        return self._logprobs(documents, self.temperature)

    def _logprobs(self, documents: Sequence[Document], temperature: float) -> list[Float32]:
        with torch.no_grad():
            table = self.policy(temperature).numpy()
        return [table[d.tokens[d.targets]] for d in documents]

    def frozen(self, folder: Path) -> FrozenPolicy:
        raise NotImplementedError

    def named_weights(self) -> Iterator[tuple[str, torch.Tensor]]:
        return ((name, parameter.data) for name, parameter in self.policy.named_parameters())

    def sum_over_ranks(self, values: torch.Tensor) -> torch.Tensor:
        return values

    def max_over_ranks(self, values: torch.Tensor) -> torch.Tensor:
        return values

    def keep_checkpoints(self, folder: Path, settings: SaveSettings) -> None:
        """In memory."""

    def save(self, step: int, state: Mapping[str, object]) -> None:
        if "save" in self.fails:
            raise self.fails["save"]
        self.saves[step] = state

    def saved(self) -> None:
        """At once."""

    def load(self, path: Path) -> dict[str, Any]:
        return dict(self.saves[int(path.name)])

    def close(self) -> None:
        """Nothing is held."""


def taught(good: int, bad: int) -> Group:
    """Two responses of one token each, of which the first was rewarded."""
    made = group("g", (1.0, 0.0))
    likely = np.full(1, -np.log(VOCABULARY), np.float32)
    trajectories = tuple(
        replace(trajectory, response_ids=np.array([token], np.int32), behaviour_logprobs=likely)
        for trajectory, token in zip(made.trajectories, (good, bad), strict=True)
    )
    advantages, weighted = np.array([1, -1], np.float32), np.ones(2, np.bool_)
    return replace(made, trajectories=trajectories, advantages=advantages, weighted=weighted)


class StandInLearner(LearnerGroup):
    """A learner of no ranks: its log-probabilities are those of the engine's tokens, and `off_by` more.

    asked  what was saved, in order
    """

    def __init__(self, off_by: float | Sequence[float] = 0.0, fails: Exception | None = None, hangs: bool = False):
        super().__init__([], TrainEngineSettings())
        self.asked: list[str] = []
        self.fails, self.hangs = fails, hangs
        self._off_by = np.asarray(off_by, np.float32)

    async def logprobs(self, sequences: Sequence[tuple[Int32, Int32]]) -> list[Float32]:
        return [np.full(len(response), -1, np.float32) + self._off_by for _, response in sequences]

    async def save(self, step: int, driver: object) -> None:
        self.asked.append(f"save {step} {driver}")
        if self.hangs:
            await asyncio.Event().wait()
        if self.fails is not None:
            raise self.fails

    async def saved(self) -> None:
        self.asked.append("wait")


# ---- actors without Ray ----------------------------------------------------------------------------------------------


class _Method:
    def __init__(self, method: Callable[..., Any]) -> None:
        self._method = method

    def remote(self, *arguments: Any, **more: Any) -> Any:
        answer = self._future(self._call(*arguments, **more))
        parts = getattr(self._method, "__ray_num_returns__", 1)
        if parts == 1:
            return answer
        return tuple(self._future(self._part(answer, i)) for i in range(parts))

    @staticmethod
    def _future(work: Coroutine[Any, Any, Any]) -> asyncio.Future[Any]:
        """As with Ray, nobody has to await what a call came to."""
        future = asyncio.ensure_future(work)
        future.add_done_callback(lambda done: done.cancelled() or done.exception())
        return future

    async def _call(self, *arguments: Any, **more: Any) -> Any:
        return await self._method(*[await a if isinstance(a, asyncio.Future) else a for a in arguments], **more)

    @staticmethod
    async def _part(answer: asyncio.Future[Any], index: int) -> Any:
        return (await answer)[index]


class _Local:
    def __init__(self, actor: Any) -> None:
        self.actor = actor

    def __getattr__(self, name: str) -> _Method:
        return _Method(getattr(self.actor, name))


def local(actor: A) -> Actor[A]:
    """A handle of an actor that lives on this event loop: calls return futures, which may be arguments of others."""
    return Actor(_Local(actor))


def single_turn(settings: RolloutSettings, seed: int = 0) -> SingleTurn:
    """With the tokenizer of the tiny policy."""
    with TemporaryDirectory() as folder:
        character_tokenizer().save_pretrained(folder)
        return SingleTurn(settings, Path(folder), seed)


def rollout_actor(engine: RolloutEngine, episode: Episode) -> RolloutActor:
    """The real actor, started with this engine."""
    actor = RolloutActor(RolloutSettings(), Path(), "float32", "", 0)
    actor._engine, actor._episode = engine, episode
    return actor


def learner_actor(engine: TrainEngine, settings: TrainEngineSettings) -> LearnerActor:
    """The real actor, started with this train engine."""
    actor = LearnerActor()
    actor.host(engine, settings, seed=0)
    return actor


class StandInFleet(Fleet):
    """The real fleet over a rollout actor on this event loop; `verdict` gives each text its verdict at once."""

    def __init__(
        self, engine: RolloutEngine, episode: Episode, verdict: Callable[[str], Verdict] = lambda text: RIGHT
    ) -> None:
        super().__init__([local(rollout_actor(engine, episode))], {})
        self.requests: list[SampleRequest] = []
        self._verdict = verdict

    async def sample(self, request: SampleRequest) -> Sampled:
        self.requests.append(request)
        return await super().sample(request)

    async def verify(self, task: Task, responses: Responses) -> Verified:
        verdicts = [self._verdict(answer.text) for answer in responses.answers(task)]
        return Verified(verdicts, queue_seconds=0.2, seconds=0.3)


class LocalControl:
    """An `EngineControl` of engines that answer from other threads, as the publisher calls it."""

    workers_per_engine = 1

    def __init__(self, engines: Sequence[RolloutEngine]) -> None:
        self._engines = list(engines)
        self.messages: list[Message] = []  # the buckets, once for all engines

    @property
    def engines(self) -> int:
        return len(self._engines)

    def call(self, method: str, arguments: Sequence[tuple[object, ...]], deadline_s: float) -> list[object]:
        results = []
        if method == "write_weights":
            self.messages.append(cast(Message, arguments[0][0]))
        for i, (engine, given) in enumerate(zip(self._engines, arguments, strict=True)):
            try:
                results.append(asyncio.run(getattr(engine, method)(*given)))
            except Exception as error:
                raise EngineCallError(i, f"{method}: {type(error).__name__}: {error}") from error
        return results
