"""Weight publishing without engines: the layout of buckets, stages, deadlines, and what an error names."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from vllm.distributed.weight_transfer.base import ParamMeta

from reprise.learner.publishing.control import EngineCallError, PublishError
from reprise.learner.publishing.publisher import Publisher
from reprise.learner.publishing.settings import Deadlines, PublishSettings
from reprise.learner.publishing.shared_memory import ALIGNMENT, layout
from reprise.learner.publishing.source import tensor_bytes

shapes = st.lists(st.lists(st.integers(1, 40), min_size=1, max_size=3), min_size=1, max_size=30)


@given(shapes=shapes, bucket=st.integers(1, 5000))
def test_every_parameter_has_one_place_and_no_bucket_is_larger_than_it_must_be(
    shapes: list[list[int]], bucket: int
) -> None:
    metadata = [ParamMeta(f"p{i}", torch.float32, tuple(shape)) for i, shape in enumerate(shapes)]
    buckets, size = layout(metadata, bucket)
    placed = [p for b in buckets for p in b]
    assert [p.meta for p in placed] == metadata
    ends = [p.offset + tensor_bytes(p.meta) for p in placed]
    assert all(p.offset % ALIGNMENT == 0 for p in placed)
    assert all(end <= following.offset for end, following in zip(ends, placed[1:], strict=False))
    assert ends[-1] <= size
    assert all(len(b) == 1 or sum(tensor_bytes(p.meta) for p in b) <= bucket for b in buckets)


class RecordingControl:
    """Stands in for engines: remembers calls, and fails or hangs where a test asks for it."""

    def __init__(self, engines: int = 2, fails: str = "", hangs: str = "") -> None:
        self.engines, self.workers_per_engine = engines, 1
        self.calls: list[tuple[str, tuple[Any, ...]]] = []
        self.mapped: list[torch.Tensor] = []
        self._fails, self._hangs = fails, hangs
        self.released = threading.Event()

    def call(self, method: str, arguments: Sequence[tuple[Any, ...]], deadline_s: float) -> list[Any]:
        self.calls.append((method, arguments[0]))
        if method == self._fails:
            raise EngineCallError(1, f"{method}: RuntimeError: out of memory")
        if method == self._hangs:
            self.released.wait(30)
        if method == "init_weight_transfer":
            path = Path(arguments[0][0]["path"])
            self.mapped = [torch.from_file(str(path), shared=True, size=path.stat().st_size, dtype=torch.uint8)]
        if method == "score":
            return [np.zeros(len(arguments[0][0]) - 1, dtype=np.float32)] * self.engines
        return [None] * self.engines


def publisher(control: RecordingControl, folder: Path, **settings: Any) -> Publisher:
    module = torch.nn.Sequential(torch.nn.Linear(4, 6), torch.nn.Linear(6, 2))

    def weights() -> Iterator[tuple[str, torch.Tensor]]:
        return ((name, p.detach()) for name, p in module.named_parameters())

    return Publisher(
        PublishSettings(**settings),
        dtype="float32",
        module=module,
        weights=weights,
        logprobs=lambda ids: np.zeros(len(ids) - 1, dtype=np.float32),
        control=control,
        rank=0,
        master_address="127.0.0.1",
        master_port=0,
        vocabulary_size=50,
        seed=0,
        shared_folder=folder,
    )


def test_a_version_goes_through_its_stages_in_order_and_is_stamped_last(tmp_path: Path) -> None:
    control = RecordingControl()
    report = publisher(control, tmp_path).publish(7)
    methods = [method for method, _ in control.calls]
    assert methods == [
        "init_weight_transfer",
        "pause",
        "start_weight_update",
        "update_weights",
        "finish_weight_update",
        "resume",
        "score",
    ]
    assert control.calls[4][1] == (7,)
    assert report.nbytes == 4 * (4 * 6 + 6 + 6 * 2 + 2)
    assert report.mismatch == 0


def test_the_mapped_bytes_are_the_weights_and_the_file_is_gone_once_mapped(tmp_path: Path) -> None:
    control = RecordingControl()
    sender = publisher(control, tmp_path)
    assert not list(tmp_path.iterdir())
    sender.publish(1)
    (update,) = [arguments[0] for method, arguments in control.calls if method == "update_weights"]
    for (_, tensor), offset in zip(sender._source, update["offsets"], strict=True):
        received = control.mapped[0][offset : offset + tensor.numel() * 4].view(torch.float32).view(tensor.shape)
        assert torch.equal(received, tensor)


def test_small_buckets_arrive_in_several_pieces_of_which_only_the_last_says_so(tmp_path: Path) -> None:
    control = RecordingControl()
    publisher(control, tmp_path, bucket_mb=32 / 2**20).publish(1)
    last = [arguments[0]["last"] for method, arguments in control.calls if method == "update_weights"]
    assert len(last) > 1
    assert last == [False] * (len(last) - 1) + [True]


@pytest.mark.parametrize(
    ("method", "stage"),
    [("pause", "pause"), ("update_weights", "transfer"), ("finish_weight_update", "finish"), ("resume", "resume")],
)
def test_an_engine_that_fails_is_reported_with_stage_rank_and_version(tmp_path: Path, method: str, stage: str) -> None:
    sender = publisher(RecordingControl(fails=method), tmp_path)
    expected = f"publishing version 3 failed in stage '{stage}' on learner rank 0: engine 1: {method}: .*out of memory"
    with pytest.raises(PublishError, match=expected):
        sender.publish(3)


def test_a_library_call_that_never_returns_meets_a_deadline(tmp_path: Path) -> None:
    control = RecordingControl(hangs="update_weights")
    limits = Deadlines(gather=0.05, pause=0.05, transfer=0.05, finish=0.05, resume=0.05)
    sender = publisher(control, tmp_path, deadlines=limits)
    with pytest.raises(PublishError, match="version 4 failed in stage 'transfer' on learner rank 0: no answer within"):
        sender.publish(4)
    control.released.set()


@pytest.mark.timeout(30)
def test_an_engine_s_error_is_reported_though_the_sender_goes_on_waiting_for_that_engine(tmp_path: Path) -> None:
    """As NCCL's does: the call is made in a thread of its own, the sender waits in the broadcast."""
    sender = publisher(RecordingControl(fails="update_weights"), tmp_path)  # whose deadlines are ten minutes
    for_ever = threading.Event()

    def send_weights() -> None:
        threading.Thread(target=swallowing, daemon=True).start()
        for_ever.wait()

    def swallowing() -> None:
        with pytest.raises(EngineCallError):
            sender._client.update_weights({})

    sender._sender.send_weights = send_weights  # type: ignore[method-assign]
    with pytest.raises(PublishError, match=r"in stage 'transfer' .* engine 1: update_weights: .*out of memory"):
        sender.publish(3)
    for_ever.set()


def test_each_engine_of_an_nccl_group_gets_its_own_rank_offset() -> None:
    from reprise.learner.publishing.control import StagedClient

    class Offsets:
        engines, workers_per_engine = 3, 2

        def call(self, method: str, arguments: Sequence[tuple[Any, ...]], deadline_s: float) -> list[Any]:
            self.offsets = [info["rank_offset"] for (info,) in arguments]
            return [None] * 3

    control = Offsets()
    StagedClient(control, Deadlines()).init_weight_transfer_engine({"rank_offset": 1, "world_size": 7})
    assert control.offsets == [1, 3, 5]
