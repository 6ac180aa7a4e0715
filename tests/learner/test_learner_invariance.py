"""The same global batch gives the same gradient and weights for any ranks, ZeRO stage, packing, loss and checkpointing
policy, as a float64 twin."""

from __future__ import annotations

from itertools import product
from pathlib import Path
from typing import Any

import batches
import numpy as np
import objective_twin as twin
import pytest
import rank_jobs
import torch
from pairs import every_pair
from rank_pool import RankPool

from reprise.core.types import Group
from reprise.learner.settings import LearnerSettings

pytestmark = pytest.mark.slow

ALONE, SHARED_BATCH, SHARED_ROWS = (1, 1), (2, 1), (1, 2)  # ranks: data parallel, sequence parallel
RANKS = [ALONE, SHARED_BATCH, SHARED_ROWS]
STAGES = [1, 2, 3]
LAYOUTS = [(*ranks, stage) for ranks in RANKS for stage in STAGES]
FEW = [(1, 1, 1), (2, 1, 1), (1, 2, 1), (1, 2, 3)]
EXPECTED: dict[Any, Any] = {}  # what the twin came to, by test and settings: it is slow


def laid_out(settings: LearnerSettings, data: int, sequence: int, stage: int, **changed: object) -> LearnerSettings:
    layout = {"world_size": data * sequence, "sequence_parallel": sequence, "zero_stage": stage}
    return LearnerSettings(**settings.model_dump() | layout | changed)


def flat(tensors: dict[str, np.ndarray]) -> np.ndarray:
    return np.concatenate([tensors[name].astype(np.float64).ravel() for name in sorted(tensors)])


def relative(a: dict[str, np.ndarray], b: dict[str, np.ndarray]) -> float:
    """Distance of a from b over the length of b."""
    assert a.keys() == b.keys()
    return float(np.linalg.norm(flat(a) - flat(b)) / np.linalg.norm(flat(b)))


def trained(pools: dict[int, RankPool], folder: Path, settings: LearnerSettings, **arguments: Any) -> dict[str, Any]:
    """The result of rank 0, after seeing that all ranks agree on weights and metrics."""
    results = pools[settings.world_size].run(
        rank_jobs.train, settings=settings, folder=folder, version=batches.VERSION, **arguments
    )
    for other in results[1:]:
        assert other["metrics"] == results[0]["metrics"]
        assert relative(other["weights"], results[0]["weights"]) == 0
    return results[0]


def twins(folder: Path, settings: LearnerSettings, seed: int, temperature: float) -> tuple[list[Group], dict[str, Any]]:
    """A batch, and what the twin comes to on it with these settings."""
    key = (settings.model_dump_json(), seed, temperature)
    if key not in EXPECTED:
        batch = batches.ragged_batch(folder, seed, temperature)
        EXPECTED[key] = batch, twin.train(folder, [batch], settings, temperature, 0, batches.VERSION)
    return EXPECTED[key]


@pytest.mark.parametrize(
    ("ranks", "stage", "token_budget", "objective"),
    every_pair(list(product(RANKS, STAGES, [32, 4096], [(1.0, "behaviour"), (0.7, "recompute")]))),
)
def test_gradient_weights_and_metrics_equal_the_twin_for_any_layout_stage_and_packing(
    pools: dict[int, RankPool],
    folder: Path,
    ranks: tuple[int, int],
    stage: int,
    token_budget: int,
    objective: tuple[float, str],
) -> None:
    temperature, proximal = objective
    settings = batches.settings(proximal=proximal)
    batch, expected = twins(folder, settings, 1, temperature)
    wanted = expected["metrics"][0]
    active = ("clip_low", "clip_high") if proximal == "behaviour" else ("is_truncated",)
    assert all(wanted[f"policy/{name}"] > 0.02 for name in active), "this batch would not test the bounds"
    changed = laid_out(settings, *ranks, stage, token_budget=token_budget)
    got = trained(pools, folder, changed, batches=[batch], temperature=temperature, seed=0)
    assert relative(got["gradients"][0], expected["gradients"][0]) < 1e-5
    assert relative(got["weights"], expected["weights"]) < 1e-6
    for name, value in wanted.items():
        assert got["metrics"][0][name] == pytest.approx(value, rel=1e-4, abs=1e-7), name


@pytest.mark.parametrize(
    ("loss", "kl_coef", "layout"), every_pair(list(product(["gspo", "dr_grpo", "cispo"], [0.0, 0.3], FEW)))
)
def test_every_loss_equals_its_twin_where_rows_are_shared_and_where_batches_are(
    pools: dict[int, RankPool], folder: Path, loss: str, kl_coef: float, layout: tuple[int, int, int]
) -> None:
    length = {"max_length": 40} if loss == "dr_grpo" else {}
    settings = batches.settings(loss=loss, proximal="behaviour", kl_coef=kl_coef, epochs=2, lr=0.05, **length)
    batch, expected = twins(folder, settings, 6, 0.7)
    got = trained(pools, folder, laid_out(settings, *layout, token_budget=48), batches=[batch], temperature=0.7, seed=0)
    assert relative(got["gradients"][0], expected["gradients"][0]) < 1e-5
    assert relative(got["gradients"][1], expected["gradients"][1]) < 1e-4
    assert relative(got["weights"], expected["weights"]) < 1e-5
    mean = np.mean([m["loss/policy"] for m in expected["metrics"]])
    assert got["metrics"][0]["loss/policy"] == pytest.approx(mean, rel=1e-4)
    if kl_coef:
        kl = np.mean([m["policy/reference_kl"] for m in expected["metrics"]])
        assert kl > 1e-4, "the policy did not leave its reference"
        assert got["metrics"][0]["policy/reference_kl"] == pytest.approx(kl, rel=1e-3)


@pytest.mark.parametrize("layout", [(1, 1, 1), (1, 2, 3)])
def test_ligers_chunked_kernel_gives_the_same_in_float32(
    pools: dict[int, RankPool], folder: Path, layout: tuple[int, int, int]
) -> None:
    batch = batches.ragged_batch(folder, 1, 0.7)
    settings = batches.settings(proximal="behaviour", logprobs="liger")
    expected = twin.train(folder, [batch], settings, 0.7, 0, batches.VERSION)
    got = trained(pools, folder, laid_out(settings, *layout), batches=[batch], temperature=0.7, seed=0)
    assert relative(got["gradients"][0], expected["gradients"][0]) < 1e-5
    assert got["metrics"][0]["policy/entropy"] == pytest.approx(expected["metrics"][0]["policy/entropy"], rel=1e-4)


CHECKPOINTING = {
    "block": {"policy": "block"},
    "attention-offload": {"policy": "attention", "offload": True},
    "norms": {"policy": "norms"},
    "mlp-tiles": {"policy": "mlp", "mlp_tiles": 3},
    "block-tiles": {"policy": "block", "mlp_tiles": 2},
}


@pytest.mark.parametrize(("checkpointing", "ranks", "stage"), every_pair(list(product(CHECKPOINTING, RANKS, [1, 3]))))
def test_checkpointing_changes_nothing_that_is_learnt(
    pools: dict[int, RankPool], folder: Path, checkpointing: str, ranks: tuple[int, int], stage: int
) -> None:
    settings = batches.settings(proximal="behaviour")
    batch, expected = twins(folder, settings, 1, 0.7)
    changed = laid_out(settings, *ranks, stage, token_budget=48, checkpointing=CHECKPOINTING[checkpointing])
    got = trained(pools, folder, changed, batches=[batch], temperature=0.7, seed=0)
    assert relative(got["gradients"][0], expected["gradients"][0]) < 1e-5
    assert relative(got["weights"], expected["weights"]) < 1e-6


@pytest.mark.parametrize("proximal", ["recompute", "behaviour"])
def test_minibatches_and_epochs_follow_the_twin_step_by_step(
    pools: dict[int, RankPool], folder: Path, proximal: str
) -> None:
    batch = batches.ragged_batch(folder, 2, 0.7)
    settings = batches.settings(minibatches=2, epochs=2, proximal=proximal, lr=0.3)
    expected = twin.train(folder, [batch], settings, 0.7, 5, batches.VERSION)
    for layout in [(1, 1, 1), (2, 1, 3), (1, 2, 1)]:
        got = trained(pools, folder, laid_out(settings, *layout), batches=[batch], temperature=0.7, seed=5)
        # Rounded weights feed the later gradients, so these drift a little; each optimiser step is there and right.
        for ours, theirs in zip(got["gradients"], expected["gradients"], strict=True):
            assert relative(ours, theirs) < 1e-4
        assert relative(got["gradients"][0], expected["gradients"][0]) < 1e-5
        assert relative(got["weights"], expected["weights"]) < 1e-5
        steps, metrics = expected["metrics"], got["metrics"][0]
        tokens = np.asarray([s["tokens/trained"] for s in steps])
        for name in ("loss/policy", "policy/entropy", "policy/clip_low", "policy/clip_high", "policy/is_truncated"):
            assert metrics[name] == pytest.approx(np.average([s[name] for s in steps], weights=tokens), rel=1e-4), name
        assert metrics["tokens/trained"] == tokens.sum()
        largest = max(s["policy/ratio_max"] for s in steps)
        assert largest > 1.01, "the policy hardly moved within this batch"
        assert metrics["policy/ratio_max"] == pytest.approx(largest, rel=1e-4)
        first_pass = steps[:2] if proximal == "recompute" else steps[:1]
        assert metrics["policy/offpolicy_kl"] == pytest.approx(
            np.average([s["policy/offpolicy_kl"] for s in first_pass], weights=tokens[: len(first_pass)]), rel=1e-4
        )


def test_adamw_updates_of_three_clipped_steps_point_where_the_twins_do(
    pools: dict[int, RankPool], folder: Path
) -> None:
    three = [batches.ragged_batch(folder, seed, 0.7) for seed in (3, 4, 5)]
    settings = batches.settings(optimizer="adamw", lr=1e-3, grad_clip=0.5, proximal="recompute")
    expected = twin.train(folder, three, settings, 0.7, 0, batches.VERSION)
    start = flat({n: p.detach().numpy() for n, p in twin.load(folder).named_parameters()})
    theirs = flat(expected["weights"]) - start
    for layout in LAYOUTS:
        got = trained(pools, folder, laid_out(settings, *layout), batches=three, temperature=0.7, seed=0)
        ours = flat(got["weights"]) - start
        assert ours @ theirs / np.linalg.norm(ours) / np.linalg.norm(theirs) >= 0.9999
        assert np.linalg.norm(ours) == pytest.approx(np.linalg.norm(theirs), rel=1e-3)
        norms = [m["optim/grad_norm"] for m in got["metrics"]]
        assert norms == pytest.approx([m["optim/grad_norm"] for m in expected["metrics"]], rel=1e-3)
        assert min(norms) > settings.grad_clip, "these gradients would not test the clipping"


@pytest.mark.parametrize("layout", [(1, 1, 1), (2, 1, 1), (2, 1, 3), (1, 2, 1), (1, 2, 3)])
def test_log_probabilities_equal_the_twin_on_every_rank(
    pools: dict[int, RankPool], folder: Path, layout: tuple[int, int, int]
) -> None:
    trajectories = [t for group in batches.ragged_batch(folder, 6, 0.7) for t in group.trajectories]
    sequences = [(t.prompt_ids, t.response_ids) for t in trajectories]
    settings = laid_out(batches.settings(), *layout)
    results = pools[settings.world_size].run(
        rank_jobs.logprobs, settings=settings, folder=folder, sequences=sequences, temperature=0.7
    )
    model = twin.load(folder)
    with torch.no_grad():
        expected = [twin.logprobs(model, t, 0.7).numpy() for t in trajectories]
    for result in results:
        assert all(got.dtype == np.float32 for got in result)
        np.testing.assert_allclose(np.concatenate(result), np.concatenate(expected), atol=1e-5)


def test_changing_one_document_leaves_the_others_bit_identical_though_ranks_share_the_row(
    pools: dict[int, RankPool], folder: Path
) -> None:
    settings = laid_out(batches.settings(token_budget=4096), 1, 2, 1)
    before = [(t.prompt_ids, t.response_ids) for g in batches.ragged_batch(folder, 6, 1.0) for t in g.trajectories]
    mixed = list(before)
    changed = 5  # about the middle of the one row, where one rank's share ends and the other's begins
    mixed[changed] = (before[changed][0][::-1].copy(), before[changed][1][::-1].copy())
    got = [
        pools[2].run(rank_jobs.logprobs, settings=settings, folder=folder, sequences=s, temperature=1.0)[0]
        for s in (before, mixed)
    ]
    for i, (a, b) in enumerate(zip(*got, strict=True)):
        assert np.array_equal(a, b) == (i != changed), i


@pytest.mark.parametrize(
    ("ranks", "stage", "planted"),
    every_pair(list(product([SHARED_BATCH, SHARED_ROWS], STAGES, ["loss", "gradient"]))),
)
def test_a_step_that_is_not_finite_on_one_rank_is_skipped_on_all_and_leaves_no_trace(
    pools: dict[int, RankPool], folder: Path, ranks: tuple[int, int], stage: int, planted: str
) -> None:
    good = batches.ragged_batch(folder, 7, 1.0)
    bad = batches.with_nan(good) if planted == "loss" else None
    settings = laid_out(batches.settings(optimizer="adamw", lr=1e-2, grad_clip=1.0), *ranks, stage)
    for result in pools[2].run(rank_jobs.skip_and_go_on, settings=settings, folder=folder, good=good, bad=bad):
        assert result["metrics"]["optim/skipped"] == 1
        assert "optim/grad_norm" not in result["metrics"]
        assert all(np.isfinite(value) for value in result["metrics"].values())
        assert relative(result["after"], result["before"]) == 0
        assert relative(result["with_skip"], result["without"]) == 0
        assert relative(result["with_skip"], result["after"]) > 1e-4
