"""One version on its way from the learner to all engines, bucket by bucket, over any of our transports."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Protocol

import torch

from reprise.core.transport import Message, Parameter, Transport
from reprise.learner.publishing.control import Engines
from reprise.learner.publishing.source import LearnerWeights


class WeightSender(Protocol):
    """A learner rank's end of weight updates. Building it and `send` are collective; rank 0 talks to the engines."""

    def send(self) -> None:
        """Give all engines the weights as they are now."""
        ...

    def close(self) -> None:
        """Release its buffers."""
        ...


def buckets(parameters: Sequence[Parameter], bucket_bytes: int) -> list[list[Parameter]]:
    """The parameters in order, cut where the next would take a bucket over `bucket_bytes`.

    One that is larger by itself gets a bucket of its own.
    """
    cut: list[list[Parameter]] = []
    filled = 0
    for parameter in parameters:
        if not cut or filled + parameter.nbytes > bucket_bytes:
            cut.append([])
            filled = 0
        cut[-1].append(parameter)
        filled += parameter.nbytes
    return cut


class BucketSender:
    """Sends through a transport: while the engines load a bucket the next is written, the first before they pause.

    transport   None on all ranks but 0, which only join the gather of each tensor
    name        by which engines find the transport's class
    """

    def __init__(
        self, transport: Transport | None, name: str, weights: LearnerWeights, engines: Engines, bucket_bytes: int
    ) -> None:
        self._transport, self._weights, self._engines = transport, weights, engines
        self._buckets = buckets(weights.parameters, bucket_bytes)
        if transport is None:
            return
        try:
            facts = transport.open(weights.parameters)
            opening: Message = {"transport": name, "names": [p.name for p in weights.parameters], "facts": facts}
            engines.init([opening] * engines.count)
        finally:
            transport.connected()

    def send(self) -> None:
        pairs = iter(self._weights)
        if self._transport is None:
            for _ in pairs:
                pass
            return
        loading: Future[None] | None = None
        with ThreadPoolExecutor(max_workers=1, thread_name_prefix="weights") as thread:
            for index, bucket in enumerate(self._buckets):
                facts = self._transport.send(_taken(pairs, bucket))
                if index == 0:
                    self._engines.begin()
                if loading is not None:
                    loading.result()
                last = index == len(self._buckets) - 1
                loading = thread.submit(self._engines.write, {"facts": facts, "last": last})
            if loading is not None:
                loading.result()
        self._engines.finish()

    def close(self) -> None:
        if self._transport is not None:
            self._transport.close()


def _taken(
    pairs: Iterator[tuple[str, torch.Tensor]], bucket: Sequence[Parameter]
) -> Iterator[tuple[Parameter, torch.Tensor]]:
    for parameter in bucket:
        name, tensor = next(pairs)
        if name != parameter.name:
            raise RuntimeError(f"the learner's weights came out of order: {name!r} in place of {parameter.name!r}")
        yield parameter, tensor
