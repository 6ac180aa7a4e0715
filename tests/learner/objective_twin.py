"""The objective of docs/architecture.md a second time: full logits, float64, one trajectory after another, no packing.

Slow and plain on purpose: the tests hold the learner against it.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from transformers import AutoModelForCausalLM

from reprise.core.types import Group, Trajectory
from reprise.learner.settings import LearnerSettings

from loss_twins import twin_total, kl_estimate  # isort: skip

Item = tuple[Trajectory, float]  # a weighted trajectory and its advantage


def load(folder: Path) -> Any:
    return AutoModelForCausalLM.from_pretrained(folder, attn_implementation="eager").double()


def items(batch: Sequence[Group]) -> list[Item]:
    return [
        (trajectory, float(advantage))
        for group in batch
        if group.advantages is not None and group.weighted is not None
        for trajectory, advantage, weighted in zip(group.trajectories, group.advantages, group.weighted)
        if weighted and trajectory.trainable.any()
    ]


def distributions(model: Any, trajectory: Trajectory, temperature: float) -> torch.Tensor:
    """log pi(. | prefix) for each response token: float64[R, V]."""
    tokens = torch.tensor(np.concatenate([trajectory.prompt_ids, trajectory.response_ids])).long()
    logits = model(tokens[None]).logits[0] / temperature
    return logits.log_softmax(-1)[len(trajectory.prompt_ids) - 1 : -1]


def logprobs(model: Any, trajectory: Trajectory, temperature: float) -> torch.Tensor:
    """log pi of each response token: float64[R]."""
    chosen = torch.tensor(trajectory.response_ids).long()[:, None]
    return distributions(model, trajectory, temperature).gather(1, chosen)[:, 0]


def loss(
    model: Any,
    part: Sequence[Item],
    proximal: Sequence[torch.Tensor],
    reference: Sequence[torch.Tensor],
    settings: LearnerSettings,
    temperature: float,
) -> tuple[torch.Tensor, dict[str, float]]:
    """L of one optimiser step over `part`, and the shares of tokens at its bounds."""
    log_pi, log_prox, log_mu, log_ref, kl = [], [], [], [], 0.0
    seen = {"low": 0, "high": 0, "capped": 0, "entropy": 0.0, "ratio_max": 0.0}
    for (trajectory, advantage), prox, ref in zip(part, proximal, reference):
        kept = torch.tensor(np.flatnonzero(trajectory.trainable))
        log_all = distributions(model, trajectory, temperature)[kept]
        chosen = torch.tensor(trajectory.response_ids).long()[kept]
        log_pi.append(log_all.gather(1, chosen[:, None])[:, 0])
        log_mu.append(torch.tensor(trajectory.behaviour_logprobs).double()[kept])
        log_prox.append(prox[kept] if settings.proximal == "recompute" else log_mu[-1])
        log_ref.append(ref[kept])
        for pi, taken, mu, own in zip(log_pi[-1].detach(), log_prox[-1], log_mu[-1], log_ref[-1]):
            rho = torch.exp(pi - taken).item()
            seen["capped"] += torch.exp(taken - mu).item() > settings.importance_cap
            seen["low"] += rho < settings.ratio_bounds[0] and advantage < 0
            seen["high"] += rho > settings.ratio_bounds[1] and advantage > 0
            seen["ratio_max"] = max(seen["ratio_max"], rho)
            kl += kl_estimate(pi, own.item(), mu.item(), settings.importance_cap).item()
        seen["entropy"] -= (log_all.exp() * log_all).sum().item()
    total, _ = twin_total(
        settings.loss,
        settings,
        log_pi,
        log_prox,
        log_mu,
        [advantage for _, advantage in part],
        log_ref if settings.kl_coef else None,
    )
    count = sum(map(len, log_pi))
    divisor = {
        "grpo": count,
        "cispo": count,
        "gspo": len(part),
        "dr_grpo": len(part) * (settings.max_length or 0),
    }[settings.loss]
    shares = {
        "policy/clip_low": seen["low"] / count,
        "policy/clip_high": seen["high"] / count,
        "policy/is_truncated": seen["capped"] / count,
        "policy/entropy": seen["entropy"] / count,
        "policy/ratio_max": seen["ratio_max"],
        "tokens/trained": count,
    }
    if settings.kl_coef:
        shares["policy/reference_kl"] = kl / count
    return total / divisor, shares | {"loss/policy": total.item() / divisor}


def mismatch(part: Sequence[Item], taken: Sequence[torch.Tensor], version: int) -> dict[str, float]:
    """The comparisons of behaviour policy and policy as taken; KLs by k3."""
    log_ratio, current = [], []
    for (trajectory, _), log_pi in zip(part, taken):
        for t in np.flatnonzero(trajectory.trainable):
            log_ratio.append(log_pi[t].item() - float(trajectory.behaviour_logprobs[t]))
            current.append(trajectory.versions[t] == version)
    d, same = np.asarray(log_ratio), np.asarray(current)
    k3 = np.exp(d) - 1 - d
    return {
        "policy/offpolicy_kl": k3.mean(),
        "policy/mismatch_kl": k3[same].mean(),
        "policy/mismatch_abs": np.abs(d[same]).mean(),
    }


def train(
    folder: Path,
    batches: Sequence[Sequence[Group]],
    settings: LearnerSettings,
    temperature: float,
    seed: int,
    version: int,
) -> dict[str, Any]:
    """Plain training on the batches. Returns weights, the gradients of every step, and metrics of every step."""
    model = load(folder)
    if settings.optimizer == "sgd":
        optimizer: torch.optim.Optimizer = torch.optim.SGD(model.parameters(), lr=settings.lr)
    else:
        optimizer = torch.optim.AdamW(
            model.parameters(), lr=settings.lr, betas=settings.betas, eps=settings.eps, weight_decay=0.0
        )
    order, gradients, metrics = np.random.default_rng(seed), [], []
    start = load(folder)
    for batch in batches:
        whole = items(batch)
        with torch.no_grad():
            proximal = [logprobs(model, trajectory, temperature) for trajectory, _ in whole]
            reference = [logprobs(start, trajectory, temperature) for trajectory, _ in whole]
        for _ in range(settings.epochs):
            for part in np.array_split(order.permutation(len(whole)), settings.minibatches):
                chosen, anchors = [whole[i] for i in part], [proximal[i] for i in part]
                refs = [reference[i] for i in part]
                value, step_metrics = loss(model, chosen, anchors, refs, settings, temperature)
                optimizer.zero_grad()
                value.backward()
                gradients.append({n: p.grad.clone().numpy() for n, p in model.named_parameters()})
                norm = torch.nn.utils.clip_grad_norm_(model.parameters(), settings.grad_clip or torch.inf)
                optimizer.step()
                metrics.append(step_metrics | mismatch(chosen, anchors, version) | {"optim/grad_norm": norm.item()})
    weights = {n: p.detach().numpy().copy() for n, p in model.named_parameters()}
    return {"weights": weights, "gradients": gradients, "metrics": metrics}
