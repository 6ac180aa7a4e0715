"""The stream of a stage: passes, deferral of what is too long yet, seeds, resuming."""

from __future__ import annotations

import json
from collections import Counter
from itertools import islice
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from reprise.core.errors import UserError
from reprise.core.types import Int32
from reprise.data.sft.stream import Draw, SftStream

GROWING: Any = [[0.0, 10], [0.3, 20], [0.7, 40]]


def lengths(*tokens: int) -> np.ndarray:
    return np.asarray(tokens, np.int32)


def stream(
    sources: dict[str, np.ndarray],
    weights: list[Any] | None = None,
    seed: int = 0,
    draws: int = 100,
    context: Any = 40,
    stage: int = 0,
) -> SftStream:
    return SftStream(list(sources.items()), weights or [1.0] * len(sources), seed, draws, context, stage)


def test_each_epoch_has_each_record_once_in_a_new_order() -> None:
    drawn = list(stream({"a": lengths(*[5] * 20)}, draws=60))
    passes = [[d.record for d in drawn if d.epoch == epoch] for epoch in range(3)]
    assert all(sorted(each) == list(range(20)) for each in passes)
    assert passes[0] != passes[1] != passes[2]
    assert [d.epoch for d in drawn] == sorted(d.epoch for d in drawn)


def test_sources_are_drawn_by_the_mixture() -> None:
    drawn = list(stream({"a": lengths(5, 5), "b": lengths(*[5] * 500)}, [0.25, 0.75], draws=1000))
    assert Counter(d.source for d in drawn) == {0: 250, 1: 750}


def test_a_record_too_long_yet_is_drawn_first_when_the_context_has_grown() -> None:
    drawn = list(stream({"a": lengths(5, 5, 30, 15, 5, 5)}, draws=20, context=GROWING))
    assert not {2, 3} & {d.record for d in drawn[:6]}
    assert drawn[6] == Draw(0, 3, 0)
    first_long = next(n for n, d in enumerate(drawn) if d.record == 2)
    assert first_long == 14
    assert next(d for d in drawn if d.record == 2).epoch == 0


tokens = st.integers(2, 40)
source_lists = st.lists(st.lists(tokens, min_size=1, max_size=12).map(lambda t: [5, *t]), min_size=1, max_size=3)
weight_choices = st.sampled_from([1.0, 0.3, {"from": 1.0, "to": 0.1}, [[0.0, 0.2], [0.5, 0.9]]])


def deferred_by_hand(order: list[Draw], tokens: list[int], allowed: list[int]) -> list[Draw]:
    """What is drawn, one for each context in `allowed`, from records that would come in this order if all fitted."""
    coming, passed_over, due, drawn = iter(order), list[Draw](), list[Draw](), []
    for context in allowed:
        due += [d for d in passed_over if tokens[d.record] <= context]
        passed_over = [d for d in passed_over if tokens[d.record] > context]
        while not due:
            draw = next(coming)
            (due if tokens[draw.record] <= context else passed_over).append(draw)
        drawn.append(due.pop(0))
    return drawn


@settings(max_examples=80)
@given(st.lists(tokens, max_size=12), st.integers(0, 3), st.integers(1, 150))
def test_what_does_not_fit_is_put_off_and_nothing_else_moves(extra: list[int], seed: int, draws: int) -> None:
    source = {"a": lengths(5, *extra)}
    everything = list(stream(source, seed=seed, draws=3000))
    growing = stream(source, seed=seed, draws=draws, context=GROWING)
    drawn, allowed = [], []
    for _ in range(draws):
        allowed.append(growing.context)
        drawn.append(next(growing))
    with pytest.raises(StopIteration):
        next(growing)
    assert drawn == deferred_by_hand(everything, [5, *extra], allowed)
    assert allowed == [10 if n < 0.3 * draws else 20 if n < 0.7 * draws else 40 for n in range(draws)]


@settings(max_examples=80)
@given(source_lists, st.data(), st.integers(0, 3), st.integers(1, 120), st.sampled_from([40, GROWING]))
def test_a_resumed_stream_goes_on_with_the_same_draws(
    sources: list[list[int]], data: Any, seed: int, draws: int, context: Any
) -> None:
    named = {f"s{i}": lengths(*t) for i, t in enumerate(sources)}
    weights = [data.draw(weight_choices) for _ in sources]
    whole = list(stream(named, weights, seed, draws, context))
    stop, again = sorted(data.draw(st.tuples(st.integers(0, draws), st.integers(0, draws))))
    made = stream(named, weights, seed, draws, context)
    seen = list(islice(made, stop))
    for until in (again, draws):
        saved = json.loads(json.dumps(made.state()))
        made = stream(named, weights, seed, draws, context)
        made.load_state(saved)
        seen += islice(made, until - len(seen))
    assert seen == whole


def test_the_cursor_stays_small_however_much_is_deferred() -> None:
    made = stream({"a": lengths(*[5, 30] * 5000)}, draws=9000, context=GROWING)
    list(islice(made, 8000))
    assert len(json.dumps(made.state())) < 400


def test_the_order_is_a_function_of_seed_stage_and_name() -> None:
    sources = {"a": lengths(*[5] * 30), "b": lengths(*[5] * 30)}

    def orders(made: SftStream, names: str = "ab") -> dict[str, list[int]]:
        drawn = list(made)
        return {name: [d.record for d in drawn if names[d.source] == name] for name in names}

    assert orders(stream(sources)) == orders(stream(sources))
    assert orders(stream(sources, seed=1)) != orders(stream(sources))
    assert orders(stream(sources, stage=1)) != orders(stream(sources))
    assert orders(stream(dict(reversed(sources.items()))), "ba") == orders(stream(sources))
    assert orders(stream(sources))["a"] != orders(stream(sources))["b"]


def test_the_current_shares_are_reported_by_name() -> None:
    made = stream({"a": lengths(5), "b": lengths(5)}, [{"from": 1, "to": 0}, {"from": 0, "to": 1}], draws=100)
    assert made.shares() == pytest.approx({"a": 0.995, "b": 0.005})
    list(made)
    assert made.shares() == pytest.approx({"a": 0.005, "b": 0.995})


@pytest.mark.parametrize(
    ("tokens", "weight", "message"),
    [
        (lengths(30, 35), 1.0, "has a weight where the context is 10 tokens, but its shortest record has 30 tokens"),
        (lengths(30, 35), [[0.0, 0], [0.6, 1]], "where the context is 20 tokens"),
        (lengths(), 1.0, "but it has no record"),
    ],
)
def test_a_source_that_could_give_nothing_is_refused(tokens: np.ndarray, weight: Any, message: str) -> None:
    with pytest.raises(UserError, match=f"source a: it {message}" if "has a" in message else message):
        stream({"a": tokens, "b": lengths(5)}, [weight, 1.0], context=GROWING)


def test_a_source_without_weight_need_not_fit_yet() -> None:
    drawn = list(stream({"a": lengths(30, 35), "b": lengths(5)}, [[[0.0, 0], [0.7, 1]], 1.0], context=GROWING))
    assert {n for n, d in enumerate(drawn) if d.source == 0} <= set(range(70, 100))


@pytest.mark.parametrize(
    ("named", "arguments", "differs"),
    [
        ({"a": lengths(5, 7), "b": lengths(5)}, {}, "digests of their lengths .* there"),
        ({"a": lengths(5, 6, 7), "b": lengths(5)}, {}, "numbers of records 2, 1 there, 3, 1 here"),
        ({"a": lengths(5, 6), "c": lengths(5)}, {}, "sources a, b there, a, c here"),
        ({"a": lengths(5, 6), "b": lengths(5)}, {"draws": 9}, "draws 100 there, 9 here"),
        ({"a": lengths(5, 6), "b": lengths(5)}, {"seed": 1}, "seed 0 there, 1 here"),
        (
            {"a": lengths(5, 6), "b": lengths(5)},
            {"weights": [0.5, {"from": 0, "to": 1}]},
            r"weights 1.0, 1.0 there, 0\.5",
        ),
        (
            {"a": lengths(5, 6), "b": lengths(5)},
            {"context": [[0, 10], [0.5, 20]]},
            r"context \[0, 40\] there, \[0, 10\], \[50, 20\] here",
        ),
    ],
)
def test_a_cursor_of_another_run_is_refused_with_what_differs(
    named: dict[str, Int32], arguments: dict[str, Any], differs: str
) -> None:
    """Records would come twice or never."""
    saved = json.loads(json.dumps(stream({"a": lengths(5, 6), "b": lengths(5)}).state()))
    with pytest.raises(UserError, match=differs):
        stream(named, **arguments).load_state(saved)
