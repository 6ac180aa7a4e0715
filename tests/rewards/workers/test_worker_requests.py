"""Requests for worker pools, and who is to blame when a checker dies."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, cast

from hypothesis import given
from hypothesis import strategies as st

from reprise.rewards.workers.requests import fits, pack, run_fairly, unpack
from reprise.rewards.workers.workers import MAX_REQUEST_BYTES, Failure, Outcome, WorkerPool

JSON = st.recursive(st.none() | st.booleans() | st.integers() | st.text(), lambda inner: st.lists(inner), max_leaves=20)


@given(JSON)
def test_a_request_is_read_as_it_was_packed(value: Any) -> None:
    assert unpack(pack(value)) == value
    assert pack(value).isascii()


def test_lone_surrogates_travel() -> None:
    assert unpack(pack("\ud800")) == "\ud800"


def test_a_request_fits_if_the_pool_takes_its_line() -> None:
    assert fits("x" * (MAX_REQUEST_BYTES - 3))
    assert not fits("x" * (MAX_REQUEST_BYTES - 2))


class FakePool:
    """Gives the outcome that is planned for a request."""

    def __init__(self, planned: dict[str, Outcome]) -> None:
        self.planned = planned

    def run(self, requests: Sequence[str]) -> list[Outcome]:
        return [self.planned[request] for request in requests]


def test_an_answer_is_blamed_only_if_a_harmless_one_fares_better() -> None:
    done, late = Outcome("done"), Outcome(failure=Failure.TIMEOUT, detail="used 5 s of CPU")
    busy = Outcome(failure=Failure.INFRA, detail="no worker starts")
    pool = FakePool({"good": done, "slow": late, "slow task": late, "busy": busy, "SLOW": done, "SLOW TASK": late})
    outcomes = run_fairly(cast(WorkerPool, pool), ["good", "slow", "slow task", "busy"], str.upper)
    assert outcomes[:2] == [done, late]
    assert outcomes[2] == Outcome(failure=Failure.INFRA, detail="the task's own reference: used 5 s of CPU")
    assert outcomes[3] == busy


def test_what_the_handler_raises_on_one_answer_only_is_that_answers_fault() -> None:
    done = Outcome("done")
    raised = Outcome(failure=Failure.INFRA, detail="the handler raised KeyError", raised=True)
    pool = FakePool({"odd": raised, "odd task": raised, "ODD": done, "ODD TASK": raised})
    answer, task = run_fairly(cast(WorkerPool, pool), ["odd", "odd task"], str.upper)
    assert answer == Outcome(failure=Failure.CRASH, detail="the handler raised KeyError")
    assert task.failure is Failure.INFRA
