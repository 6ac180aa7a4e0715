"""How weights travel from the learner to the engines. A transport is one class in one file, for both ends.

Learner rank 0 makes one and uses its sending half. Every process of an engine that holds weights makes one, inside a
`WeightReceiver`, and uses the receiving half. The launcher makes none: it asks the class what placement it needs.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from reprise.core.errors import UserError
from reprise.core.plugins import resolve

if TYPE_CHECKING:
    import torch

WHAT = "weights.transport"
Message = dict[str, Any]  # plain types only: it passes through Ray, and through vLLM to the engine's processes
Bucket = list[tuple[str, "torch.Tensor"]]


@dataclass(frozen=True, slots=True)
class Parameter:
    """A parameter of the policy by its Hugging Face name, with the shape of the full tensor."""

    name: str
    dtype: torch.dtype
    shape: tuple[int, ...]

    @property
    def nbytes(self) -> int:
        """Bytes of the full tensor."""
        return math.prod(self.shape) * self.dtype.itemsize


@dataclass(frozen=True, slots=True)
class Places:
    """What a recipe gives to learner and engines. `*_gpus` count for each rank and may be fractions."""

    learner_ranks: int
    learner_gpus: float
    engines: int
    ranks_per_engine: int
    engine_gpus: float

    gpu_keys: ClassVar = (WHAT, "cluster.learner_gpus", "cluster.engine_gpus")
    rank_keys: ClassVar = (WHAT, "learner.world_size", "rollout.engines", "rollout.engine.tensor_parallel")

    def __str__(self) -> str:
        return f"cluster.learner_gpus is {self.learner_gpus:g} and cluster.engine_gpus {self.engine_gpus:g}"


class Transport(ABC):
    """One end of the way that weights take: buckets of whole tensors go in at the one and come out at the other.

    one_host       learner rank 0 and all engines must be on one host
    shm_copies     copies of the weights that the learner's host holds in /dev/shm
    vllm_backend   one of vLLM's own weight-transfer engines, which then does both halves: see
                   learner/publishing/vllm_transports.py
    """

    one_host: ClassVar[bool] = False
    shm_copies: ClassVar[int] = 0
    vllm_backend: ClassVar[str | None] = None

    @classmethod
    def problems(cls, places: Places) -> Iterator[tuple[tuple[str, ...], str]]:
        """What is wrong with these places: the recipe's keys concerned, and what would be right. Here nothing is."""
        yield from ()

    # ---- learner rank 0 ----------------------------------------------------------------------------------------------

    @abstractmethod
    def open(self, parameters: Sequence[Parameter]) -> Message:
        """Prepare to send these parameters, once; what a receiver needs to `connect`."""

    def connected(self) -> None:
        """Called when every receiver has connected, or one has failed to."""
        return

    @abstractmethod
    def send(self, bucket: Iterable[tuple[Parameter, torch.Tensor]]) -> Message:
        """Take the tensors of a bucket; what a receiver needs to find them. Receivers may still read the one before.

        Under ZeRO-3 a tensor is valid until the next is taken.
        """

    # ---- each process of an engine that holds weights ----------------------------------------------------------------

    @abstractmethod
    def connect(self, message: Message) -> None:
        """Given what `open` returned. Raises what keeps this process from receiving."""

    @abstractmethod
    def receive(self, message: Message) -> Bucket:
        """The bucket that `send` described: (name, full tensor) pairs, valid until the update ends."""

    # ---- both --------------------------------------------------------------------------------------------------------

    def close(self) -> None:
        """Release what this end holds."""
        return


def transport_class(path: str) -> type[Transport]:
    """The transport that a dotted path or `./file.py:Class` names; UserError if it is none."""
    found = resolve(path, WHAT)
    if not (isinstance(found, type) and issubclass(found, Transport)):
        raise UserError(f"{WHAT}: {path} is no subclass of reprise.core.transport.Transport")
    return found


class WeightReceiver:
    """The receiving end in a process of an engine: buckets of one update after another, and what one of them lacks.

    An engine makes one of what `init_weights` brings, calls `begin` for every update and loads what `read` gives.
    """

    def __init__(self, message: Message) -> None:
        self._expected = frozenset[str](message["names"])
        self._received = set[str]()
        self._transport = transport_class(message["transport"])()
        self._transport.connect(message["facts"])

    def begin(self) -> None:
        """An update begins."""
        self._received.clear()

    def read(self, message: Message) -> Bucket:
        """The bucket of one `write_weights`."""
        bucket = self._transport.receive(message["facts"])
        self._received.update(name for name, _ in bucket)
        return bucket

    def check_complete(self) -> None:
        """RuntimeError if the update lacks a parameter. To be called after the bucket whose message says `last`."""
        if missing := sorted(self._expected - self._received):
            raise RuntimeError(
                f"the update lacks {len(missing)} of {len(self._expected)} parameters, first {missing[0]!r}: "
                "the fused layer it belongs to would be left half-filled"
            )

    def close(self) -> None:
        """Release the transport's end."""
        self._transport.close()
