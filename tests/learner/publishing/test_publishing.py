"""Weight publishing without engines: the layout of buckets, stages, deadlines, and what an error names."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from stand_ins import VOCABULARY, LocalControl, StandInEngine, StandInTrainEngine

from reprise.core.transport import Parameter
from reprise.core.types import Float32
from reprise.learner.publishing.control import EngineCallError, Engines, PublishError
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


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where weights lie in place of /dev/shm."""
    monkeypatch.setattr(SharedMemory, "folder", tmp_path)
    return tmp_path


class Stack:
    """A train engine that publishes to two engines."""

    def __init__(self, **settings: Any) -> None:
        self.learner, self.engines = StandInTrainEngine(), [StandInEngine(), StandInEngine()]
        self.learner.policy.first.data = torch.linspace(-1, 1, VOCABULARY)
        self.learner.policy.second.data = torch.linspace(2, 0, VOCABULARY) ** 2
        self.control = LocalControl(self.engines)
        self.settings = PublishSettings(**settings)

    def publisher(self) -> Publisher:
        def logprobs(ids: Sequence[int]) -> Float32:
            tokens = np.asarray(ids, np.int32)
            return self.learner.logprobs([(tokens[:1], tokens[1:])])[0]

        return Publisher(
            self.settings,
            dtype="float32",
            module=self.learner.model,
            weights=self.learner.named_weights,
            logprobs=logprobs,
            control=self.control,
            rank=0,
            master_address="127.0.0.1",
            master_port=0,
            vocabulary_size=VOCABULARY,
            seed=0,
        )


def test_a_version_goes_through_its_stages_in_order_and_is_stamped_last() -> None:
    stack = Stack()
    report = stack.publisher().publish(7)
    for engine in stack.engines:
        assert engine.calls == ["init_weights", "begin_weights", "write_weights", "finish_weights", "score"]
        assert engine.version == 7
    assert report.nbytes == 4 * 2 * VOCABULARY
    assert report.mismatch == 0


def test_what_is_received_are_the_weights_and_the_file_is_gone_once_mapped(folder: Path) -> None:
    stack = Stack()
    publisher = stack.publisher()
    assert not list(folder.iterdir())
    publisher.publish(1)
    for engine in stack.engines:
        received = dict(engine.policy.named_parameters())
        assert all(torch.equal(received[name], tensor) for name, tensor in stack.learner.named_weights())


def test_an_update_that_lacks_a_parameter_is_refused_by_its_name(monkeypatch: pytest.MonkeyPatch) -> None:
    stack = Stack(bucket_mb=32 / 2**20)
    publisher = stack.publisher()
    receive = SharedMemory.receive
    monkeypatch.setattr(SharedMemory, "receive", lambda self, message: receive(self, message)[1:])
    with pytest.raises(PublishError, match=r"in stage 'transfer'.* the update lacks 2 of 2 parameters, first 'first'"):
        publisher.publish(1)


def test_an_engine_that_holds_other_weights_is_caught_and_named() -> None:
    stack = Stack()
    publisher = stack.publisher()
    publisher.publish(1)
    stack.engines[1].policy.second.data[:64] += 1
    with pytest.raises(PublishError, match=r"in stage 'check' .*engine 1 disagrees with the learner by .* nats"):
        publisher._check()


def test_small_buckets_arrive_in_several_pieces_of_which_only_the_last_says_so() -> None:
    stack = Stack(bucket_mb=32 / 2**20)
    stack.publisher().publish(1)
    last = [message["last"] for message in stack.control.messages]
    assert len(last) > 1
    assert last == [False] * (len(last) - 1) + [True]


@pytest.mark.parametrize(
    ("method", "stage"),
    [("begin_weights", "pause"), ("write_weights", "transfer"), ("finish_weights", "finish"), ("score", "check")],
)
def test_an_engine_that_fails_is_reported_with_stage_rank_and_version(method: str, stage: str) -> None:
    stack = Stack()
    stack.engines[1].fails[method] = RuntimeError("out of memory")
    expected = f"publishing version 3 failed in stage '{stage}' on learner rank 0: engine 1: {method}: .*out of memory"
    with pytest.raises(PublishError, match=expected):
        stack.publisher().publish(3)


def test_a_library_call_that_never_returns_meets_a_deadline() -> None:
    stack = Stack(deadline_s=0.05)
    released = stack.engines[0].holds["write_weights"] = threading.Event()
    with pytest.raises(PublishError, match="version 4 failed in stage 'transfer' on learner rank 0: no answer within"):
        stack.publisher().publish(4)
    released.set()


@pytest.mark.timeout(30)
def test_an_engine_s_error_is_reported_though_the_sender_goes_on_waiting_for_that_engine() -> None:
    """As NCCL's does: the call is made in a thread of its own, the sender waits in the broadcast."""
    stack = Stack()  # whose deadline is ten minutes
    stack.engines[0].fails["write_weights"] = RuntimeError("out of memory")
    publisher = stack.publisher()
    for_ever = threading.Event()

    def send() -> None:
        threading.Thread(target=swallowing, daemon=True).start()
        for_ever.wait(30)

    def swallowing() -> None:
        with pytest.raises(EngineCallError):
            publisher._engines.write({})

    publisher._sender.send = send  # type: ignore[method-assign]
    with pytest.raises(PublishError, match=r"in stage 'transfer' .* engine 0: write_weights: .*out of memory"):
        publisher.publish(3)
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
