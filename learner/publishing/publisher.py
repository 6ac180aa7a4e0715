"""One published version: gather, pause, transfer, finish, resume, and the check that engine and learner agree."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from typing import TypeVar

import numpy as np
import torch

from reprise.core.transport import transport_class
from reprise.core.types import Float32
from reprise.learner.publishing.control import EngineCallError, EngineControl, Engines, PublishError
from reprise.learner.publishing.report import PublishReport
from reprise.learner.publishing.sender import BucketSender, WeightSender
from reprise.learner.publishing.settings import PublishSettings
from reprise.learner.publishing.source import LearnerWeights
from reprise.learner.publishing.vllm_transports import Meeting, VllmSender, VllmTransport

T = TypeVar("T")
_LOOK_S = 1.0  # seconds between two looks at whether an engine has failed


class Publisher:
    """Publishes the learner's weights to all engines. Built on every learner rank; rank 0 talks to the engines.

    Args:
        settings: the recipe's `weights` section.
        dtype: of the policy, which decides how closely an engine must agree.
        module: the policy.
        weights: (name, full tensor) pairs, a collective under ZeRO-3.
        logprobs: the learner's log-probabilities, float32[len-1], of a token sequence at temperature 1; a collective.
        control: the engines; only used on rank 0.
        rank: this learner rank.
        master_address: address of this rank's host, where NCCL meets.
        master_port: a free port there.
        vocabulary_size: fixed check tokens are drawn below it.
        seed: draws the fixed tokens.
    """

    def __init__(
        self,
        settings: PublishSettings,
        *,
        dtype: str,
        module: torch.nn.Module,
        weights: Callable[[], Iterator[tuple[str, torch.Tensor]]],
        logprobs: Callable[[Sequence[int]], Float32],
        control: EngineControl,
        rank: int,
        master_address: str,
        master_port: int,
        vocabulary_size: int,
        seed: int,
    ) -> None:
        self._settings = settings
        self._limit = settings.check_limit(dtype)
        self._rank = rank
        self._weights = LearnerWeights(module, weights)
        self._logprobs = logprobs
        self._engines = Engines(control, settings.deadline_s)
        self._check_tokens = np.random.default_rng(seed).integers(0, vocabulary_size, settings.check_tokens).tolist()
        meeting = Meeting(master_address, master_port, control.engines * control.workers_per_engine)
        self._sender = self._run("init", lambda: self._opened(meeting))

    def _opened(self, meeting: Meeting) -> WeightSender:
        name = self._settings.transport_path
        bucket_bytes = int(self._settings.bucket_mb * 2**20)
        transport = transport_class(name)
        if issubclass(transport, VllmTransport):
            info = transport.trainer_info(self._rank, meeting, bucket_bytes)
            return VllmSender(info, self._weights, self._engines)
        return BucketSender(transport() if self._rank == 0 else None, name, self._weights, self._engines, bucket_bytes)

    def publish(self, version: int) -> PublishReport:
        """Give every engine the current weights as `version`, then compare. Called on every rank; `PublishError`."""
        started = time.monotonic()
        self._engines.version = version
        self._run("gather", self._sender.send)
        mismatch = self._check()
        return PublishReport(version, time.monotonic() - started, self._weights.nbytes, mismatch)

    def _check(self) -> float:
        """Mean absolute difference between engine and learner on fixed tokens, nats; `PublishError` if too large."""
        ours = self._logprobs(self._check_tokens)
        if self._rank != 0:
            return 0.0
        theirs = self._run("check", lambda: self._engines.score(self._check_tokens))
        mismatches = [float(np.abs(ours - engine).mean()) for engine in theirs]
        worst = int(np.argmax(mismatches))
        # Not `>`: a NaN must not pass.
        if not mismatches[worst] <= self._limit:
            raise PublishError(
                "check",
                self._rank,
                self._engines.version,
                f"engine {worst} disagrees with the learner by {mismatches[worst]:.3g} nats a token on fixed tokens "
                f"(weights.max_mismatch = {self._limit:g}): it does not hold the weights sent",
            )
        return mismatches[worst]

    def _run(self, stage: str, work: Callable[[], T]) -> T:
        """`work()` under a deadline that holds even where a library call would wait without end, as it may once an
        engine has failed: then no longer than a moment."""
        engines = self._engines
        engines.enter(stage)
        thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="publish")
        try:
            done = thread.submit(work)
            while not wait([done], _LOOK_S).done:
                if engines.failed is not None:
                    raise engines.failed
                if time.monotonic() >= engines.until:  # later than the engines' own, which says which engine it is
                    reason = f"no answer within weights.deadline_s = {engines.deadline_s:g}"
                    raise PublishError(engines.stage, self._rank, engines.version, reason)
            return done.result()
        except EngineCallError as error:
            raise PublishError(engines.stage, self._rank, engines.version, str(error)) from error
        finally:
            thread.shutdown(wait=False)

    def close(self) -> None:
        """Release the transfer's buffers."""
        self._sender.close()
