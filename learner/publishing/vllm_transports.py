"""vLLM's own transports, both halves of which are vLLM's: `nccl` between GPUs, `ipc` within one.

vLLM's sender drives a whole update itself. `VllmSender` lets it drive ours: all engines, with stages and deadlines.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Never

from reprise.core.transport import Bucket, Message, Parameter, Places, Transport

if TYPE_CHECKING:  # vLLM is imported by the learner alone, not by the launcher that reads what is needed of placement
    import torch
    from vllm.distributed.weight_transfer.base import TrainerInitInfo

    from reprise.learner.publishing.control import Engines
    from reprise.learner.publishing.source import LearnerWeights


@dataclass(frozen=True, slots=True)
class Meeting:
    """Where vLLM's sender and receivers meet: address and free port of learner rank 0, receivers in all."""

    address: str
    port: int
    receivers: int


class VllmTransport(Transport):
    """A transport whose halves are vLLM's; a subclass names its `vllm_backend`."""

    vllm_backend: ClassVar[str]

    @classmethod
    def trainer_info(cls, rank: int, meeting: Meeting, bucket_bytes: int) -> TrainerInitInfo:
        """What vLLM's sender is made of."""
        raise NotImplementedError

    def open(self, parameters: Sequence[Parameter]) -> Never:
        raise NotImplementedError("vLLM's own sender sends")

    def send(self, bucket: Iterable[tuple[Parameter, torch.Tensor]]) -> Never:
        raise NotImplementedError("vLLM's own sender sends")

    def connect(self, message: Message) -> None:
        raise NotImplementedError("vLLM's own receiver receives")

    def receive(self, message: Message) -> Bucket:
        raise NotImplementedError("vLLM's own receiver receives")


class Nccl(VllmTransport):
    """Broadcast from learner rank 0 to every rank of every engine, each on a GPU of its own."""

    vllm_backend = "nccl"

    @classmethod
    def problems(cls, places: Places) -> Iterator[tuple[tuple[str, ...], str]]:
        if not places.learner_gpus == places.engine_gpus == 1:
            yield (
                places.gpu_keys,
                f"weights.transport nccl wants one whole GPU for each learner rank and engine rank, but {places}; set "
                "both to 1, or use shared_memory on CPU and ipc on a shared GPU",
            )

    @classmethod
    def trainer_info(cls, rank: int, meeting: Meeting, bucket_bytes: int) -> TrainerInitInfo:
        from vllm.distributed.weight_transfer.nccl_engine import NCCLTrainerInitInfo

        world = 1 + meeting.receivers
        return NCCLTrainerInitInfo(
            meeting.address, meeting.port, world, packed_buffer_size_bytes=bucket_bytes, rank=rank
        )


class Ipc(VllmTransport):
    """CUDA IPC between the learner's rank and an engine on the same GPU."""

    one_host = True
    vllm_backend = "ipc"

    @classmethod
    def problems(cls, places: Places) -> Iterator[tuple[tuple[str, ...], str]]:
        if not (places.learner_gpus and places.engine_gpus and places.learner_gpus + places.engine_gpus <= 1):
            yield (
                places.gpu_keys,
                f"weights.transport ipc wants learner and engine to share one GPU, but {places}; set both above 0 with "
                "a sum of at most 1, such as 0.5 and 0.5",
            )
        if places.learner_ranks * places.engines * places.ranks_per_engine > 1:
            yield (
                places.rank_keys,
                "weights.transport ipc serves one learner rank and one engine of tensor_parallel 1 on one GPU; with "
                "more of them use nccl",
            )

    @classmethod
    def trainer_info(cls, rank: int, meeting: Meeting, bucket_bytes: int) -> TrainerInitInfo:
        from vllm.distributed.weight_transfer.ipc_engine import IPCTrainerInitInfo

        return IPCTrainerInitInfo(rank=rank, packed=True, packed_buffer_size_bytes=bucket_bytes)


class VllmSender:
    """vLLM's own sender, over all engines. Built on every learner rank (collective)."""

    def __init__(self, info: TrainerInitInfo, weights: LearnerWeights, engines: Engines) -> None:
        from vllm.distributed.weight_transfer.base import ParamMeta, WeightSource
        from vllm.distributed.weight_transfer.factory import WeightTransferTrainerFactory

        class Source(WeightSource):
            def metadata(self) -> list[ParamMeta]:
                return [ParamMeta(p.name, p.dtype, p.shape) for p in weights.parameters]

            def __iter__(self) -> Iterator[tuple[str, torch.Tensor]]:
                return iter(weights)

        self._sender = WeightTransferTrainerFactory.trainer_init(info, client=VllmClient(engines), source=Source())

    def send(self) -> None:
        self._sender.send_weights()

    def close(self) -> None:
        self._sender.shutdown()


class VllmClient:
    """vLLM's `VLLMWeightSyncClient` over all engines."""

    def __init__(self, engines: Engines) -> None:
        self._engines = engines

    def init_weight_transfer_engine(self, init_info: Message) -> None:
        """Every engine gets its own rank offset: vLLM's senders count one engine only."""
        infos = [dict(init_info) for _ in range(self._engines.count)]
        if "rank_offset" in init_info:
            for i, info in enumerate(infos):
                info["rank_offset"] = init_info["rank_offset"] + i * self._engines.receivers_each
        self._engines.init(infos)

    def start_weight_update(self) -> None:
        self._engines.begin()

    def update_weights(self, update_info: Any) -> None:
        self._engines.write(update_info)

    def finish_weight_update(self, weight_version: str | None = None) -> None:
        self._engines.finish()
