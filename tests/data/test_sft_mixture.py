"""The mixture: exact in every window, close to the integral where weights change, and resumable."""

from __future__ import annotations

import json
from fractions import Fraction
from itertools import islice
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from reprise.data.sft.mixture import MixtureSchedule, smooth
from reprise.data.sft.schedules import context_steps, weight_schedule
from reprise.data.sft.settings import EvalSource, Mixture, SftSource

weights = st.one_of(
    st.just(0), st.integers(1, 50), st.floats(1e-6, 1), st.floats(1e-6, 1).map(lambda x: round(x, 3)), st.just(1 / 3)
)
constant = st.lists(weights, min_size=1, max_size=8).filter(any)
ramps = st.fixed_dictionaries({"from": st.floats(0.01, 1), "to": st.floats(0, 1)})


def mixed(written: list[Any], draws: int) -> MixtureSchedule:
    return MixtureSchedule([weight_schedule(w) for w in written], draws)


def counts_before(sources: list[int], k: int) -> np.ndarray:
    """[n + 1, k]: how often each source was drawn before each draw."""
    hits = np.asarray(sources)[:, None] == np.arange(k)
    return np.vstack([np.zeros((1, k), int), np.cumsum(hits, axis=0)])


def windows(counts: np.ndarray, size: int = 1000) -> np.ndarray:
    return counts[size:] - counts[:-size]


def excursion(counts: np.ndarray, expected: np.ndarray) -> float:
    """The largest deviation of any window of any length from what was expected in it."""
    deviation = counts - np.vstack([np.zeros((1, expected.shape[1])), np.cumsum(expected, axis=0)])
    return float((deviation.max(axis=0) - deviation.min(axis=0)).max())


@settings(max_examples=60)
@given(constant, st.integers(1000, 6500))
def test_every_window_of_1000_holds_each_source_within_one_of_its_weight(written: list[float], draws: int) -> None:
    drawn = list(mixed(written, draws))
    assert len(drawn) == draws
    total = sum(Fraction(repr(w)) for w in written)
    counts = windows(counts_before(drawn, len(written)))
    for i, weight in enumerate(written):
        want = 1000 * Fraction(repr(weight)) / total
        assert {int(want), -int(-want // 1)} >= set(counts[:, i].tolist())  # floor or ceiling


@settings(max_examples=40)
@given(st.lists(st.integers(0, 1000), min_size=0, max_size=7))
def test_weights_that_are_thousandths_are_met_exactly_in_every_window(cuts: list[int]) -> None:
    edges = [0, *sorted(cuts), 1000]
    parts = np.diff(edges)
    counts = windows(counts_before(list(mixed([p / 1000 for p in parts.tolist()], 3500)), len(parts)))
    assert (counts == parts).all()


@given(constant)
@settings(max_examples=20)
def test_a_constant_mixture_is_spread_evenly_at_any_scale(written: list[float]) -> None:
    """A batch of 32 must be mixed too; and nothing drifts over many windows."""
    counts = counts_before(list(mixed(written, 20_000)), len(written))
    shares = np.asarray(written) / sum(written)
    assert excursion(counts, np.tile(shares, (20_000, 1))) < 4


@settings(max_examples=40)
@given(st.lists(st.one_of(ramps, st.floats(0, 1)), min_size=2, max_size=7), st.integers(1, 3000))
def test_changing_weights_are_met_within_the_stated_bound_of_their_integral(written: list[Any], draws: int) -> None:
    if not any(isinstance(w, dict) for w in written):
        written[0] = {"from": 0.2, "to": 0.7}
    drawn = list(mixed(written, draws))
    point = (np.arange(draws) + 0.5) / draws
    raw = np.stack(
        [w["from"] + (w["to"] - w["from"]) * point if isinstance(w, dict) else np.full(draws, w) for w in written], 1
    )
    k = len(written)
    bound = sum(1 / i for i in range(1, k)) if not _shares_are_constant(raw) else 4
    assert excursion(counts_before(drawn, k), raw / raw.sum(1, keepdims=True)) <= bound + 1e-6


def _shares_are_constant(raw: np.ndarray) -> bool:
    return bool(np.allclose(raw / raw.sum(1, keepdims=True), raw[0] / raw[0].sum()))


def test_steps_change_the_mixture_at_their_draw_and_each_stretch_is_exact() -> None:
    drawn = list(mixed([[[0.0, 0.6], [0.5, 0.2]], [[0.0, 0.4], [0.5, 0.8]]], 8000))
    counts = counts_before(drawn, 2)
    assert (windows(counts[:4001]) == [600, 400]).all()
    assert (windows(counts[4000:]) == [200, 800]).all()


def test_a_source_is_never_drawn_while_its_weight_is_zero() -> None:
    written = [1.0, [[0.0, 0.0], [0.3, 0.7], [0.6, 0.0]], {"from": 0.5, "to": 0.1}]
    drawn = np.asarray(list(mixed(written, 1000)))
    assert set(np.flatnonzero(drawn == 1).tolist()) <= set(range(300, 600))
    assert 100 < (drawn == 1).sum() < 108  # 300 draws, 0.7 of about 2.02


def test_a_linear_weight_falls_evenly() -> None:
    counts = counts_before(list(mixed([{"from": 0.6, "to": 0.2}, {"from": 0.4, "to": 0.8}], 4000)), 2)[::1000]
    assert np.diff(counts[:, 0]).tolist() == pytest.approx([550, 450, 350, 250], abs=1)


@settings(max_examples=60)
@given(
    st.lists(st.one_of(weights, ramps, st.just([[0.0, 0.3], [0.25, 0.1]])), min_size=1, max_size=5).filter(any),
    st.integers(1, 2500),
    st.data(),
)
def test_a_resumed_mixture_goes_on_with_the_same_draws(written: list[Any], draws: int, data: Any) -> None:
    whole = list(mixed(written, draws))
    stop = data.draw(st.integers(0, draws))
    first = mixed(written, draws)
    assert list(islice(first, stop)) == whole[:stop]
    resumed = mixed(written, draws)
    resumed.load_state(json.loads(json.dumps(first.state())))
    assert list(resumed) == whole[stop:]


@pytest.mark.parametrize("stop", [0, 1, 299, 300, 301, 999, 1000])
def test_a_mixture_resumes_where_its_weights_have_a_step(stop: int) -> None:
    written = [[[0.0, 0.1], [0.3, 0.7]], {"from": 0.5, "to": 0.1}, {"from": 0.2, "to": 0.9}]
    first, resumed = mixed(written, 1000), mixed(written, 1000)
    list(islice(first, stop))
    resumed.load_state(json.loads(json.dumps(first.state())))
    assert list(resumed) == list(first)


def test_smooth_spreads_each_source() -> None:
    assert smooth([2, 1, 1]) == [0, 1, 2, 0]
    assert smooth([0, 3]) == [1, 1, 1]


def source(name: str = "a", **keys: Any) -> dict[str, Any]:
    return {"name": name, "path": "a.jsonl", **keys}


@pytest.mark.parametrize(
    ("sources", "message"),
    [
        ([source(weight=-1)], "weight is -1; it takes a number from 0 up"),
        ([source(weight="1")], "weight is '1'; it takes"),
        ([source(weight=True)], "weight is True; it takes"),
        ([source(weight=float("nan"))], "weight is nan; it takes"),
        ([source(weight={"from": 1, "till": 2})], "weight is .*; it takes a number"),
        ([source(weight={"from": 1, "to": -2})], "weight is .*; it takes a number"),
        ([source(weight=[])], "the first must begin at 0.0"),
        ([source(weight=[[0.1, 1]])], r"begin at \[0.1\] of the stage; the first must begin at 0.0"),
        ([source(weight=[[0.0, 1], [0.5, 2], [0.5, 3]])], "each later one after the one before"),
        ([source(weight=[[0.0, 1], [1.0, 2]])], "below 1.0"),
        ([source(weight=[[0.0, 1, 2]])], r"has the step \[0.0, 1, 2\]"),
        ([source(weight=0)], "from 0 to 1 of the stage every weight is 0"),
        ([source(weight=[[0.0, 1], [0.5, 0]]), source("b", weight=0)], "from 0.5 to 1 of the stage every weight is 0"),
        ([source(), source()], "the name 'a' is used 2 times"),
        ([], "at least 1 item"),
        ([source(generator="a:b")], "both are set"),
        ([{"name": "a"}], "neither is set"),
        ([source(args={"x": 1})], "`args` belong to `generator`"),
        ([source(wieght=1)], "Extra inputs"),
    ],
)
def test_what_is_no_mixture_is_refused_and_why(sources: list[dict[str, Any]], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        Mixture.model_validate({"sources": sources})


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("weight", [0.5, 2, {"from": 0.6, "to": 0.2}, [[0, 1], [0.5, 0.2]]])
def test_a_mixture_written_out_reads_back(weight: Any) -> None:
    mixture = Mixture.model_validate_json(json.dumps({"sources": [source(weight=weight)]}), strict=True)
    dumped = mixture.model_dump(mode="json")
    assert dumped["sources"][0]["weight"] == weight
    assert Mixture.model_validate_json(json.dumps(dumped), strict=True) == mixture


def test_an_evaluation_source_has_no_weight_and_is_counted_under_its_name() -> None:
    assert EvalSource(name="a", path="x").counted_as == "a"
    assert SftSource(name="a", path="x", domain="maths").counted_as == "maths"
    with pytest.raises(ValidationError, match="weight"):
        EvalSource.model_validate(source(weight=1))


def test_a_context_grows_in_steps_or_stays() -> None:
    assert context_steps(16) == [(Fraction(0), 16)]
    assert context_steps([[0.0, 16], [0.5, 32]]) == [(Fraction(0), 16), (Fraction(1, 2), 32)]


@pytest.mark.parametrize(
    ("written", "message"),
    [
        (0, "context is 0; it takes"),
        (16.5, "context is 16.5"),
        ([[0.0, 32], [0.5, 16]], "falls from 32 to 16 tokens"),
        ([[0.5, 16]], "the first must begin at 0.0"),
        ([[0.0, "16"]], "has the step"),
    ],
)
def test_what_is_no_context_is_refused(written: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        context_steps(written)
