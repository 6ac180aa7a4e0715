"""The learner actor: one DeepSpeed rank with its end of weight publishing."""

from __future__ import annotations

import socket
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import ray

from reprise.actors.engine_control import RayEngineControl
from reprise.actors.node import check_sees_policy
from reprise.actors.remote import Actor
from reprise.actors.rollout import RolloutActor
from reprise.actors.threaded import ThreadedActor
from reprise.core.types import Float32, Group, Int32
from reprise.learner.publishing.report import PublishReport
from reprise.learner.publishing.settings import PublishSettings
from reprise.learner.settings import LearnerSettings, SaveSettings, TrainEngineSettings

if TYPE_CHECKING:
    from reprise.learner.checkpoints.client_state import State
    from reprise.learner.packing import Document
    from reprise.learner.train_engine import OptimizerStep, TrainEngine


@dataclass(frozen=True, slots=True)
class SftStep:
    """One supervised optimiser step: the loss before it (nats a token) and the seconds it took."""

    loss: float
    step: OptimizerStep
    seconds: float


@dataclass(frozen=True, slots=True)
class Trained:
    """The metrics of one batch and when the learner worked on it (seconds of time.time)."""

    metrics: dict[str, float]
    started: float
    ended: float


class LearnerActor(ThreadedActor):
    """Hosts a train engine. Every rank gets every call, with the same arguments, at the same time."""

    async def address(self) -> str:
        """IP address of this rank's node."""
        address: str = ray.util.get_node_ip_address()
        return address

    async def free_port(self) -> int:
        """A port that nothing listens on now."""
        with socket.socket() as probe:
            probe.bind(("", 0))
            return int(probe.getsockname()[1])

    async def start(
        self,
        settings: TrainEngineSettings,
        policy_dir: Path,
        dtype: str,
        temperature: float,
        rank: int,
        master: tuple[str, int],
        seed: int,
    ) -> None:
        """Join the other ranks and load the policy, to train it by RL (`LearnerSettings`) or supervised."""

        def build() -> TrainEngine:
            check_sees_policy(policy_dir)
            from reprise.learner.engine import Engine

            return Engine(settings, policy_dir, dtype, temperature, rank, settings.world_size, *master, seed)

        self.host(await self._run(build), settings, seed)

    def host(self, engine: TrainEngine, settings: TrainEngineSettings, seed: int) -> None:
        """Train with this engine."""
        from reprise.learner.learner import Learner

        self._engine, self._seed = engine, seed
        if isinstance(settings, LearnerSettings):
            self._learner = Learner(engine, settings, seed)

    async def connect(
        self,
        settings: PublishSettings,
        engines: Sequence[Actor[RolloutActor]],
        workers_per_engine: int,
        master: tuple[str, int],
    ) -> None:
        """Agree with the engines on how weights will travel."""
        from reprise.learner.publishing.publisher import Publisher

        engine = self._engine
        self._publisher = await self._run(
            lambda: Publisher(
                settings,
                dtype=engine.dtype,
                module=engine.model,
                weights=engine.named_weights,
                logprobs=self._logprobs_of_tokens,
                control=RayEngineControl(engines, workers_per_engine),
                rank=engine.rank,
                master_address=master[0],
                master_port=master[1],
                vocabulary_size=engine.model.config.vocab_size,
                seed=self._seed,
            )
        )

    def _logprobs_of_tokens(self, ids: Sequence[int]) -> Float32:
        """float32[len-1] at temperature 1."""
        tokens = np.asarray(ids, dtype=np.int32)
        (logprobs,) = self._engine.logprobs([(tokens[:1], tokens[1:])], temperature=1.0)
        return logprobs

    async def begin_stage(self, settings: TrainEngineSettings) -> None:
        """Go on with a fresh optimiser of these settings; see `TrainEngine.begin_stage`."""
        await self._run(lambda: self._engine.begin_stage(settings))

    async def sft_step(self, documents: Sequence[Document], lr: float) -> SftStep:
        """One supervised optimiser step."""

        def work() -> SftStep:
            from reprise.learner.sft import sft_step

            started = time.monotonic()
            loss, step = sft_step(self._engine, documents, lr)
            return SftStep(loss, step, time.monotonic() - started)

        return await self._run(work)

    async def sft_evaluate(self, documents: Mapping[str, Sequence[Document]]) -> dict[str, float]:
        """Mean negative log-likelihood by domain, nats a token."""

        def work() -> dict[str, float]:
            from reprise.learner.sft import evaluate

            return evaluate(self._engine, documents)

        return await self._run(work)

    async def hold_reference(self, folder: Path) -> None:
        """Hold the policy in this folder for the KL term."""
        await self._run(lambda: self._learner.hold_reference(folder))

    async def keep_checkpoints(self, folder: Path, settings: SaveSettings, resume: Path | None) -> State | None:
        """Be ready to `save`; with `resume` go on from that checkpoint, and answer what the driver had given for it."""

        def work() -> State | None:
            self._engine.keep_checkpoints(folder, settings)
            if resume is None:
                return None
            state = self._engine.load(resume)
            if hasattr(self, "_learner"):
                self._learner.load_state(state["learner"])
            driver: State = state["driver"]
            return driver

        return await self._run(work)

    async def save(self, step: int, driver: object) -> None:
        """Begin a checkpoint of this step, with what the driver needs to go on from it (JSON-able)."""
        learner = self._learner.state() if hasattr(self, "_learner") else {}
        await self._run(lambda: self._engine.save(step, {"learner": learner, "driver": driver}))

    async def saved(self) -> None:
        """Wait until the last checkpoint is complete."""
        await self._run(self._engine.saved)

    async def train(self, groups: list[Group], version: int) -> Trained:
        """One batch, taken at `version`."""

        def work() -> Trained:
            started = time.time()
            metrics = self._learner.train_batch(groups, version)
            return Trained(metrics, started, time.time())

        return await self._run(work)

    async def publish(self, version: int) -> PublishReport:
        """Give the engines the current weights as `version`."""
        return await self._run(lambda: self._publisher.publish(version))

    async def logprobs(self, sequences: Sequence[tuple[Int32, Int32]]) -> list[Float32]:
        """Log-probabilities of responses, at the recipe's temperature."""
        return await self._run(lambda: self._engine.logprobs(sequences))

    async def export(self, folder: Path) -> None:
        """Write the policy as a Hugging Face folder."""
        from reprise.learner.export import export

        await self._run(lambda: export(self._engine, folder))

    async def close(self) -> None:
        """Leave the process group and release the transfer's buffers."""
        if hasattr(self, "_publisher"):
            self._publisher.close()
        if hasattr(self, "_engine"):
            await self._run(self._engine.close)
