"""The training stream: its order, its mixture, its cursor."""

from __future__ import annotations

import json
from collections import Counter
from itertools import islice

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from reprise.core.errors import UserError
from reprise.core.types import Task
from reprise.data.stream import TaskStream


def source(name: str, size: int) -> list[Task]:
    return [Task(f"{name}{i}", f"{name}{i}", name, "exact", "x") for i in range(size)]


def ids(stream: TaskStream, count: int) -> list[str]:
    return [task.id for task in islice(stream, count)]


def test_every_epoch_has_each_task_once_in_a_new_order() -> None:
    drawn = ids(TaskStream([source("a", 20)], [1.0], seed=0), 60)
    epochs = [drawn[:20], drawn[20:40], drawn[40:]]
    assert all(sorted(epoch) == sorted(epochs[0]) for epoch in epochs)
    assert epochs[0] != epochs[1] != epochs[2]


def test_the_seed_decides_the_order() -> None:
    sources, weights = [source("a", 20), source("b", 20)], [0.5, 0.5]
    assert ids(TaskStream(sources, weights, 0), 50) == ids(TaskStream(sources, weights, 0), 50)
    assert ids(TaskStream(sources, weights, 0), 50) != ids(TaskStream(sources, weights, 1), 50)


def test_sources_are_mixed_by_weight_not_by_size() -> None:
    stream = TaskStream([source("a", 500), source("b", 5)], [0.25, 0.75], seed=0)
    counts = Counter(task.domain for task in islice(stream, 2000))
    assert abs(counts["b"] / 2000 - 0.75) < 0.04


@settings(deadline=None, max_examples=30)
@given(st.lists(st.integers(1, 7), min_size=1, max_size=3), st.integers(0, 40), st.integers(0, 3))
def test_a_restored_stream_goes_on_where_the_saved_one_stopped(sizes: list[int], before: int, seed: int) -> None:
    sources = [source(f"s{i}", size) for i, size in enumerate(sizes)]
    weights = [1 / len(sizes)] * len(sizes)
    original = TaskStream(sources, weights, seed)
    ids(original, before)
    restored = TaskStream(sources, weights, seed)
    restored.restore(json.loads(json.dumps(original.state())))
    assert ids(restored, 30) == ids(original, 30)


@pytest.mark.parametrize(
    ("sources", "weights", "seed", "differs"),
    [
        ([source("a", 4), source("b", 2)], [0.5, 0.5], 0, "numbers of tasks 3, 2 there, 4, 2 here"),
        ([source("a", 3), source("c", 2)], [0.5, 0.5], 0, "digests of ids and prompts"),
        ([source("a", 3)[::-1], source("b", 2)], [0.5, 0.5], 0, "digests of ids and prompts"),
        ([source("a", 3), source("b", 2)], [0.25, 0.75], 0, "shares of the sources 0.5, 0.5 there, 0.25, 0.75 here"),
        ([source("a", 3), source("b", 2)], [0.5, 0.5], 1, "seed 0 there, 1 here"),
    ],
)
def test_a_cursor_of_another_run_is_refused_with_what_differs(
    sources: list[list[Task]], weights: list[float], seed: int, differs: str
) -> None:
    """Tasks would come twice or never."""
    saved = json.loads(json.dumps(TaskStream([source("a", 3), source("b", 2)], [0.5, 0.5], seed=0).state()))
    with pytest.raises(UserError, match=differs):
        TaskStream(sources, weights, seed).restore(saved)


def test_unfinished_tasks_are_posed_again_first_and_none_is_lost() -> None:
    sources = [source("a", 7), source("b", 5)]
    stream = TaskStream(sources, [0.5, 0.5], 3)
    first = ids(stream, 9)
    unfinished = [first[2], first[8]]
    saved = json.loads(json.dumps(stream.state(unfinished)))
    restored = TaskStream(sources, [0.5, 0.5], 3)
    restored.restore(saved)
    assert ids(restored, 22) == unfinished + ids(stream, 20)


def test_what_is_to_be_posed_again_survives_a_second_stop() -> None:
    stream = TaskStream([source("a", 7)], [1.0], 3)
    (one, two), rest = ids(stream, 2), TaskStream([source("a", 7)], [1.0], 3)
    rest.restore(stream.state([one, two]))
    assert ids(rest, 1) == [one]
    again = TaskStream([source("a", 7)], [1.0], 3)
    again.restore(json.loads(json.dumps(rest.state([one]))))
    assert ids(again, 2) == [one, two]


def test_an_unfinished_task_that_the_data_lacks_is_named() -> None:
    stream = TaskStream([source("a", 3)], [1.0], 0)
    with pytest.raises(UserError, match="lacks 'b7'"):
        stream.restore(stream.state(["b7"]))
