"""One published version: gather, pause, transfer, finish, resume, and the check that engine and learner agree."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import torch
from vllm.distributed.weight_transfer.base import TrainerInitInfo, TrainerWeightTransferEngine
from vllm.distributed.weight_transfer.factory import WeightTransferTrainerFactory

from reprise.core.types import Float32
from reprise.learner.publishing.control import EngineCallError, EngineControl, PublishError, StagedClient
from reprise.learner.publishing.report import PublishReport
from reprise.learner.publishing.settings import PublishSettings
from reprise.learner.publishing.shared_memory import SharedMemorySender, SharedMemoryTrainerInit
from reprise.learner.publishing.source import LearnerSource

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
        shared_folder: where the shared-memory transport maps its file.
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
        shared_folder: Path = Path("/dev/shm"),
    ) -> None:
        self._settings = settings
        self._limit = settings.check_limit(dtype)
        self._rank = rank
        self._source = LearnerSource(module, weights)
        self._logprobs = logprobs
        self._client = StagedClient(control, settings.deadlines)
        self._check_tokens = np.random.default_rng(seed).integers(0, vocabulary_size, settings.check_tokens).tolist()
        self._sender = self._run(
            "init",
            settings.deadlines.init,
            lambda: self._open(self._init_info(control, master_address, master_port, shared_folder)),
        )

    def _init_info(self, control: EngineControl, address: str, port: int, folder: Path) -> TrainerInitInfo:
        bucket = int(self._settings.bucket_mb * 2**20)
        if self._settings.transport == "shared_memory":
            return SharedMemoryTrainerInit(rank=self._rank, folder=folder, bucket_bytes=bucket)
        if self._settings.transport == "nccl":
            from vllm.distributed.weight_transfer.nccl_engine import NCCLTrainerInitInfo

            world = 1 + control.engines * control.workers_per_engine
            return NCCLTrainerInitInfo(address, port, world, packed_buffer_size_bytes=bucket, rank=self._rank)
        from vllm.distributed.weight_transfer.ipc_engine import IPCTrainerInitInfo

        return IPCTrainerInitInfo(rank=self._rank, packed=True, packed_buffer_size_bytes=bucket)

    def _open(self, init_info: TrainerInitInfo) -> TrainerWeightTransferEngine[Any]:
        if isinstance(init_info, SharedMemoryTrainerInit):
            return SharedMemorySender.trainer_init(init_info, client=self._client, source=self._source)
        return WeightTransferTrainerFactory.trainer_init(init_info, client=self._client, source=self._source)

    def publish(self, version: int) -> PublishReport:
        """Give every engine the current weights as `version`, then compare. Called on every rank; `PublishError`."""
        started = time.monotonic()
        self._client.version = version
        limits = self._settings.deadlines
        total = limits.gather + limits.pause + limits.transfer + limits.finish + limits.resume
        self._run("gather", total, self._sender.send_weights)
        mismatch = self._check()
        return PublishReport(version, time.monotonic() - started, self._source.nbytes, mismatch)

    def _check(self) -> float:
        """Mean absolute difference between engine and learner on fixed tokens, nats; `PublishError` if too large."""
        ours = self._logprobs(self._check_tokens)
        if self._rank != 0:
            return 0.0
        theirs = self._run("check", self._settings.deadlines.check, lambda: self._client.score(self._check_tokens))
        mismatches = [float(np.abs(ours - engine).mean()) for engine in theirs]
        worst = int(np.argmax(mismatches))
        # Not `>`: a NaN must not pass.
        if not mismatches[worst] <= self._limit:
            raise PublishError(
                "check",
                self._rank,
                self._client.version,
                f"engine {worst} disagrees with the learner by {mismatches[worst]:.3g} nats a token on fixed tokens "
                f"(weights.max_mismatch = {self._limit:g}): it does not hold the weights sent",
            )
        return mismatches[worst]

    def _run(self, stage: str, deadline_s: float, work: Callable[[], T]) -> T:
        """`work()` under a deadline that holds even where a library call would wait for ever, as it may once an engine
        has failed: then no longer than a moment."""
        self._client.stage = stage
        thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="publish")
        until = time.monotonic() + deadline_s
        try:
            done = thread.submit(work)
            while not wait([done], min(_LOOK_S, max(0.0, until - time.monotonic()))).done:
                if self._client.failed is not None:
                    raise self._client.failed
                if time.monotonic() >= until:
                    reason = f"no answer within its deadline of {deadline_s:g} s"
                    raise PublishError(self._client.stage, self._rank, self._client.version, reason)
            return done.result()
        except EngineCallError as error:
            raise PublishError(self._client.stage, self._rank, self._client.version, str(error)) from error
        finally:
            thread.shutdown(wait=False)

    def close(self) -> None:
        """Release the transfer's buffers."""
        self._sender.shutdown()
