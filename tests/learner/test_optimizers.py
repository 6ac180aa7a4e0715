from __future__ import annotations

import checkpoint_jobs as jobs
import numpy as np
import optimizer_jobs
import pytest
import torch
from rank_pool import RankPool

from reprise.learner.muon import orthogonalised
from reprise.learner.optim import build_optimizer
from reprise.learner.settings import LearnerSettings

slow = pytest.mark.slow


def reference_muon(settings: LearnerSettings, steps: int) -> dict[str, np.ndarray]:
    """What one process comes to in float64, written out: clipping, Muon on `up` and `down`, AdamW on the rest."""
    torch.manual_seed(0)
    net = jobs.Net().double()
    hidden = {"up.weight", "down.weight"}
    rest = [
        {"params": [p], "weight_decay": settings.weight_decay if p.ndim == 2 else 0.0}
        for n, p in net.named_parameters()
        if n not in hidden
    ]
    adamw = torch.optim.AdamW(rest, lr=settings.lr, betas=settings.betas, eps=settings.eps)
    momenta = {n: torch.zeros_like(p) for n, p in net.named_parameters() if n in hidden}
    for step in range(steps):
        net.zero_grad()
        ids = jobs.batch(step)
        logits = net(ids[:, :-1])
        loss = torch.nn.functional.cross_entropy(logits.flatten(0, 1), ids[:, 1:].flatten(), reduction="sum")
        (loss / jobs.BATCH).backward()
        if settings.grad_clip:
            torch.nn.utils.clip_grad_norm_(net.parameters(), settings.grad_clip)
        adamw.step()
        with torch.no_grad():
            for name, weight in net.named_parameters():
                if name in hidden:
                    beta, g = settings.muon_momentum, weight.grad
                    assert g is not None
                    momenta[name] = beta * momenta[name] + (1 - beta) * g
                    x = beta * momenta[name] + (1 - beta) * g
                    x = x / x.norm()
                    for _ in range(5):
                        a = x @ x.T
                        x = 3.4445 * x + (-4.7750 * a + 2.0315 * a @ a) @ x
                    weight.mul_(1 - settings.lr * settings.weight_decay)
                    weight.sub_(settings.lr * 0.2 * max(weight.shape) ** 0.5 * x)
    return {n: p.detach().numpy() for n, p in net.named_parameters()}


@slow
@pytest.mark.parametrize("world_size", [1, 2])
@pytest.mark.parametrize("stage", [1, 2, 3])
def test_muon_under_every_zero_stage_is_muon_of_one_process(
    pools: dict[int, RankPool], stage: int, world_size: int
) -> None:
    settings = LearnerSettings(optimizer="muon", zero_stage=stage, lr=0.02, weight_decay=0.1, grad_clip=0.5)
    expected = reference_muon(settings, 3)
    for found in pools[world_size].run(optimizer_jobs.train, settings=settings, micro=2):
        for name, value in expected.items():
            np.testing.assert_allclose(found[name], value, rtol=2e-4, atol=2e-5, err_msg=name)


def test_an_orthogonalised_matrix_keeps_its_singular_vectors_with_values_near_one() -> None:
    generator = torch.Generator().manual_seed(0)
    for shape in ((12, 30), (30, 12)):
        matrix = torch.randn(shape, generator=generator)
        u, _, v = torch.linalg.svd(matrix, full_matrices=False)
        values = u.T @ orthogonalised(matrix, torch.float32) @ v.T
        assert (values.diagonal() > 0.5).all()
        assert (values.diagonal() < 1.3).all()
        assert (values - values.diagonal().diag()).abs().max() < 1e-3


def test_a_muon_update_is_as_large_as_one_of_adamw() -> None:
    """Root mean square 0.2 times the rate, whatever the shape."""
    generator = torch.Generator().manual_seed(0)
    for rows, columns in ((64, 64), (32, 128), (128, 32)):
        update = orthogonalised(torch.randn(rows, columns, generator=generator), torch.float32)
        scaled = update * 0.2 * max(rows, columns) ** 0.5
        assert float(scaled.square().mean().sqrt()) == pytest.approx(0.2, rel=0.2)


def test_muon_takes_the_matrices_between_embedding_and_head() -> None:
    net = jobs.Net()
    optimizer = build_optimizer(net, LearnerSettings(optimizer="muon", weight_decay=0.1), on_gpu=False)
    names = {id(p): n for n, p in net.named_parameters()}
    groups = [
        (group["muon"], group["weight_decay"], sorted(names[id(p)] for p in group["params"]))
        for group in optimizer.param_groups
    ]
    assert groups == [
        (True, 0.1, ["down.weight", "up.weight"]),
        (False, 0.1, ["embed_tokens.weight", "lm_head.weight"]),
        (False, 0.0, ["norm.bias", "norm.weight", "up.bias"]),
    ]
    with pytest.raises(RuntimeError, match="attach it"):
        optimizer.step()


@slow
@pytest.mark.parametrize("world_size", [1, 2])
@pytest.mark.parametrize("stage", [1, 2, 3])
def test_micro_batches_and_ranks_of_bfloat16_add_up_in_float32(
    pools: dict[int, RankPool], stage: int, world_size: int
) -> None:
    """1/512 beside a 1, and 64 of them after it, leave no trace in a bfloat16 sum."""
    settings = LearnerSettings(optimizer="sgd", zero_stage=stage, grad_clip=0.0)
    gradients = [[1.0] + [1 / 512] * 64, [1 / 512] * 65][:world_size]
    mean = sum(map(sum, gradients)) / world_size
    for moved in pools[world_size].run(optimizer_jobs.add_up, settings=settings, dtype="bfloat16", gradients=gradients):
        np.testing.assert_allclose(moved, mean, rtol=1e-5)


@slow
@pytest.mark.parametrize("stage", [1, 2, 3])
@pytest.mark.parametrize("optimizer", ["adamw", "muon"])
def test_offloaded_states_are_stepped_as_those_on_the_device(
    pools: dict[int, RankPool], optimizer: str, stage: int
) -> None:
    offload = {"optimizer": True, "parameters": stage == 3}
    chosen = {"optimizer": optimizer, "zero_stage": stage, "weight_decay": 0.1, "grad_clip": 0.5}
    here = pools[2].run(optimizer_jobs.train, settings=LearnerSettings(**chosen), micro=2)[0]
    there = pools[2].run(optimizer_jobs.train, settings=LearnerSettings(offload=offload, **chosen), micro=2)
    for name, value in here.items():
        np.testing.assert_allclose(there[0][name], value, rtol=1e-5, atol=1e-6, err_msg=name)


@slow
@pytest.mark.parametrize("stage", [1, 2, 3])
@pytest.mark.parametrize(
    ("optimizer", "dtype", "offload", "value"),
    [
        ("adamw", "bfloat16", False, np.nan),
        ("adamw", "float32", True, np.inf),
        ("adamw", "bfloat16", True, np.inf),
        ("muon", "float32", False, np.nan),
    ],
)
def test_a_gradient_that_is_not_finite_skips_the_step_on_all_ranks(
    pools: dict[int, RankPool], optimizer: str, dtype: str, offload: bool, stage: int, value: float
) -> None:
    settings = LearnerSettings(optimizer=optimizer, zero_stage=stage, offload={"optimizer": offload})
    for result in pools[2].run(optimizer_jobs.spoil_a_step, settings=settings, dtype=dtype, value=value):
        assert result["skipped"]
        assert result["norm"] == np.inf
        for name, before in result["before"].items():
            np.testing.assert_array_equal(result["after"][name], before, err_msg=name)
        assert result["same_state"]
        assert result["went_on"]
        assert result["finite"]
