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

from reprise.core.transport import Parameter, WeightReceiver
from reprise.learner.publishing.control import EngineCallError, EngineControl, Engines, PublishError
from reprise.learner.publishing.publisher import Publisher
from reprise.learner.publishing.sender import buckets
from reprise.learner.publishing.settings import PublishSettings
from reprise.learner.publishing.shared_memory import ALIGNMENT, SharedMemory, layout
from reprise.learner.publishing.vllm_transports import VllmClient

shapes = st.lists(st.lists(st.integers(1, 40), min_size=1, max_size=3), min_size=1, max_size=30)


@given(shapes=shapes, bucket=st.integers(1, 5000))
def test_every_parameter_has_one_place_and_no_bucket_is_larger_than_it_must_be(
    shapes: list[list[int]], bucket: int
) -> None:
    parameters = [Parameter(f"p{i}", torch.float32, tuple(shape)) for i, shape in enumerate(shapes)]
    cut = buckets(parameters, bucket)
    assert [p for b in cut for p in b] == parameters
    assert all(len(b) == 1 or sum(p.nbytes for p in b) <= bucket for b in cut)
    offsets, size = layout(parameters)
    assert list(offsets) == [p.name for p in parameters]
    ends = [offsets[p.name] + p.nbytes for p in parameters]
    assert all(offset % ALIGNMENT == 0 for offset in offsets.values())
    assert all(end <= offsets[following.name] for end, following in zip(ends, parameters[1:], strict=False))
    assert ends[-1] <= size


class RecordingControl:
    """Stands in for engines: remembers calls, and fails or hangs where a test asks for it."""

    def __init__(self, engines: int = 2, fails: str = "", hangs: str = "") -> None:
        self.engines, self.workers_per_engine = engines, 1
        self.calls: list[tuple[str, tuple[Any, ...]]] = []
        self.receiver: WeightReceiver | None = None
        self._fails, self._hangs = fails, hangs
        self.released = threading.Event()

    def call(self, method: str, arguments: Sequence[tuple[Any, ...]], deadline_s: float) -> list[Any]:
        self.calls.append((method, arguments[0]))
        if method == self._fails:
            raise EngineCallError(1, f"{method}: RuntimeError: out of memory")
        if method == self._hangs:
            self.released.wait(30)
        if method == "init_weights":
            self.receiver = WeightReceiver(arguments[0][0])
        if method == "score":
            return [np.zeros(len(arguments[0][0]) - 1, dtype=np.float32)] * self.engines
        return [None] * self.engines


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where weights lie in place of /dev/shm."""
    monkeypatch.setattr(SharedMemory, "folder", tmp_path)
    return tmp_path


def publisher(control: EngineControl, **settings: Any) -> Publisher:
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
    )


def test_a_version_goes_through_its_stages_in_order_and_is_stamped_last() -> None:
    control = RecordingControl()
    report = publisher(control).publish(7)
    methods = [method for method, _ in control.calls]
    assert methods == ["init_weights", "begin_weights", "write_weights", "finish_weights", "score"]
    assert control.calls[3][1] == (7,)
    assert report.nbytes == 4 * (4 * 6 + 6 + 6 * 2 + 2)
    assert report.mismatch == 0


def test_what_is_received_are_the_weights_and_the_file_is_gone_once_mapped(folder: Path) -> None:
    control = RecordingControl()
    sender = publisher(control)
    assert not list(folder.iterdir())
    sender.publish(1)
    (update,) = [arguments[0] for method, arguments in control.calls if method == "write_weights"]
    assert control.receiver is not None
    received = control.receiver.read(update)
    for (name, tensor), (name_received, tensor_received) in zip(sender._weights, received, strict=True):
        assert name == name_received
        assert torch.equal(tensor_received, tensor)


def test_an_update_that_lacks_a_parameter_is_refused_by_its_name() -> None:
    control = RecordingControl()
    publisher(control, bucket_mb=32 / 2**20).publish(1)
    updates = [arguments[0] for method, arguments in control.calls if method == "write_weights"]
    receiver = control.receiver
    assert receiver is not None
    for bucket in updates:
        receiver.read(bucket)
    receiver.check_complete()
    receiver.begin()
    for bucket in updates[1:]:
        receiver.read(bucket)
    with pytest.raises(RuntimeError, match=r"the update lacks 1 of 4 parameters, first '0\.weight'"):
        receiver.check_complete()


def test_small_buckets_arrive_in_several_pieces_of_which_only_the_last_says_so() -> None:
    control = RecordingControl()
    publisher(control, bucket_mb=32 / 2**20).publish(1)
    last = [arguments[0]["last"] for method, arguments in control.calls if method == "write_weights"]
    assert len(last) > 1
    assert last == [False] * (len(last) - 1) + [True]


@pytest.mark.parametrize(
    ("method", "stage"),
    [("begin_weights", "pause"), ("write_weights", "transfer"), ("finish_weights", "finish")],
)
def test_an_engine_that_fails_is_reported_with_stage_rank_and_version(method: str, stage: str) -> None:
    sender = publisher(RecordingControl(fails=method))
    expected = f"publishing version 3 failed in stage '{stage}' on learner rank 0: engine 1: {method}: .*out of memory"
    with pytest.raises(PublishError, match=expected):
        sender.publish(3)


def test_a_library_call_that_never_returns_meets_a_deadline() -> None:
    control = RecordingControl(hangs="write_weights")
    sender = publisher(control, deadline_s=0.05)
    with pytest.raises(PublishError, match="version 4 failed in stage 'transfer' on learner rank 0: no answer within"):
        sender.publish(4)
    control.released.set()


@pytest.mark.timeout(30)
def test_an_engine_s_error_is_reported_though_the_sender_goes_on_waiting_for_that_engine() -> None:
    """As NCCL's does: the call is made in a thread of its own, the sender waits in the broadcast."""
    sender = publisher(RecordingControl(fails="write_weights"))  # whose deadlines are ten minutes
    for_ever = threading.Event()

    def send() -> None:
        threading.Thread(target=swallowing, daemon=True).start()
        for_ever.wait()

    def swallowing() -> None:
        with pytest.raises(EngineCallError):
            sender._engines.write({})

    sender._sender.send = send  # type: ignore[method-assign]
    with pytest.raises(PublishError, match=r"in stage 'transfer' .* engine 1: write_weights: .*out of memory"):
        sender.publish(3)
    for_ever.set()


def test_each_engine_of_an_nccl_group_gets_its_own_rank_offset() -> None:
    class Offsets:
        engines, workers_per_engine = 3, 2

        def call(self, method: str, arguments: Sequence[tuple[Any, ...]], deadline_s: float) -> list[Any]:
            self.offsets = [info["rank_offset"] for (info,) in arguments]
            return [None] * 3

    control = Offsets()
    VllmClient(Engines(control, 60)).init_weight_transfer_engine({"rank_offset": 1, "world_size": 7})
    assert control.offsets == [1, 3, 5]
