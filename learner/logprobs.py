"""Per-token log-probabilities and entropies from hidden states, streamed over tokens and vocabulary: no full logits.

The method is that of Liger's `LigerFusedLinearPPOBase.chunk_forward`: an online softmax over pieces of the vocabulary
forward, the same pieces of logits computed again backward. It is written out here because under bfloat16 Liger rounds
logits to bfloat16 (log-probabilities are off by some hundredths of a nat), multiplies in float32 backward (which tensor
cores do not), and holds the weight's gradient in float32 and in bfloat16 at once; and because here the entropy comes
out of the same pass. Logits are float32 sums of exact products; gradients are summed in float32 and rounded at the end.
bench/loss_memory.py has the figures.

Beside inputs and results, a call holds two float32 pieces of logits [ROWS, VOCABULARY] (three backward if logits are
capped) and, backward, the gradients of the hidden states [M, H] and of one piece of the weight [VOCABULARY, H] in
float32.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch.autograd.function import once_differentiable

ROWS = 2048
VOCABULARY = 4096


def selected_logprobs(
    hidden: torch.Tensor, weight: torch.Tensor, targets: torch.Tensor, temperature: float, cap: float | None = None
) -> torch.Tensor:
    """log softmax(f(hidden @ weight.T) / temperature)[targets], differentiable in hidden and weight.

    hidden [M, H], weight [V, H] of any floating type, targets int64[M] in 0..V-1; returns float32[M], nats.
    f(z) is z, or with a `cap`  cap · tanh(z / cap).
    """
    logprobs, _ = _Streamed.apply(hidden, weight, targets, temperature, cap, False)  # type: ignore[no-untyped-call]
    return logprobs  # type: ignore[no-any-return]


def logprobs_and_entropies(
    hidden: torch.Tensor, weight: torch.Tensor, targets: torch.Tensor, temperature: float, cap: float | None = None
) -> tuple[torch.Tensor, torch.Tensor]:
    """`selected_logprobs`, and from the same pass the entropy of each distribution: float32[M], nats, no gradient."""
    return _Streamed.apply(hidden, weight, targets, temperature, cap, True)  # type: ignore[no-any-return, no-untyped-call]


@torch.no_grad()
def entropies(hidden: torch.Tensor, weight: torch.Tensor, temperature: float) -> torch.Tensor:
    """Entropy of softmax(hidden @ weight.T / temperature) in nats, float32[M], without gradient."""
    anything = torch.zeros(len(hidden), dtype=torch.long, device=hidden.device)
    return logprobs_and_entropies(hidden, weight, anything, temperature)[1]


class _Streamed(torch.autograd.Function):
    """With z the logits, m their maximum, s = sum exp(z - m) and u = sum exp(z - m) (z - m):

    log p = z_target - m - log s        H = log s - u / s        dz = g (1[target] - p) / temperature

    A capped logit has the slope 1 - (z / cap)².
    """

    @staticmethod
    def forward(
        ctx: Any,
        hidden: torch.Tensor,
        weight: torch.Tensor,
        targets: torch.Tensor,
        temperature: float,
        cap: float | None,
        with_entropy: bool,
    ) -> tuple[torch.Tensor, torch.Tensor]:
        def per_row(value: float) -> torch.Tensor:
            return torch.full((len(hidden),), value, dtype=torch.float32, device=hidden.device)

        chosen, mass, moment = per_row(0.0), per_row(0.0), per_row(0.0)
        top = per_row(torch.finfo(torch.float32).min)  # not -inf, of which zero times is no number
        for vocabulary in _pieces(len(weight), VOCABULARY):
            piece = weight[vocabulary].to(hidden.dtype)
            for rows in _pieces(len(hidden), ROWS):
                logits = _capped(_product(hidden[rows], piece.T), cap)
                place, is_here = _target_in(targets[rows], vocabulary)
                chosen[rows] += logits.gather(1, place)[:, 0] * is_here / temperature
                new_top = torch.maximum(top[rows], logits.amax(dim=-1) / temperature)
                rise = top[rows] - new_top
                kept = mass[rows] * rise.exp()
                logits = torch.add(-new_top[:, None], logits, alpha=1 / temperature, out=logits)
                if with_entropy:
                    exponentials = logits.exp()
                    # What is summed so far was relative to the old maximum.
                    moment[rows] = moment[rows] * rise.exp() + kept * rise + logits.mul_(exponentials).sum(dim=-1)
                else:
                    exponentials = logits.exp_()
                mass[rows] = kept + exponentials.sum(dim=-1)
                top[rows] = new_top
                del logits, exponentials  # before the next product is made
        log_mass = top + mass.log()
        entropy = mass.log() - moment / mass if with_entropy else moment
        ctx.save_for_backward(hidden, weight, targets, log_mass)
        ctx.temperature, ctx.cap = temperature, cap
        ctx.mark_non_differentiable(entropy)
        return chosen - log_mass, entropy

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, upstream: torch.Tensor, _: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        hidden, weight, targets, log_mass = ctx.saved_tensors
        wants_hidden, wants_weight = ctx.needs_input_grad[:2]
        upstream = upstream.float() / ctx.temperature
        d_hidden = torch.zeros(hidden.shape, dtype=torch.float32, device=hidden.device) if wants_hidden else None
        d_weight = torch.empty_like(weight) if wants_weight else None
        for vocabulary in _pieces(len(weight), VOCABULARY):
            piece = weight[vocabulary].to(hidden.dtype)
            d_piece = torch.zeros(piece.shape, dtype=torch.float32, device=weight.device) if wants_weight else None
            for rows in _pieces(len(hidden), ROWS):
                logits = _capped(_product(hidden[rows], piece.T), ctx.cap)
                slope = None if ctx.cap is None else 1 - (logits / ctx.cap).square_()
                torch.add(-log_mass[rows, None], logits, alpha=1 / ctx.temperature, out=logits)
                d_logits = logits.exp_().mul_(-upstream[rows, None])
                place, is_here = _target_in(targets[rows], vocabulary)
                d_logits.scatter_add_(1, place, (upstream[rows] * is_here)[:, None])
                if slope is not None:
                    d_logits.mul_(slope)
                if d_hidden is not None:
                    d_hidden[rows] += _product(d_logits, piece)
                if d_piece is not None:
                    d_piece += _product(d_logits.T, hidden[rows])
                del logits, d_logits, slope  # before the next product is made
            if d_weight is not None and d_piece is not None:
                d_weight[vocabulary] = d_piece
        return None if d_hidden is None else d_hidden.to(hidden.dtype), d_weight, None, None, None, None


def _pieces(length: int, size: int) -> Iterator[slice]:
    return (slice(first, min(first + size, length)) for first in range(0, length, size))


def _target_in(targets: torch.Tensor, vocabulary: slice) -> tuple[torch.Tensor, torch.Tensor]:
    """The targets' places in a piece of the vocabulary, int64[rows, 1], any place where bool[rows] is false."""
    is_here = (targets >= vocabulary.start) & (targets < vocabulary.stop)
    return torch.where(is_here, targets - vocabulary.start, 0)[:, None], is_here


def _product(a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
    """a @ b as float32 whatever the types: on a GPU tensor cores multiply in b's type and sum in float32."""
    if b.is_cuda and b.dtype != torch.float32:
        return torch.mm(a.to(b.dtype), b, out_dtype=torch.float32)
    return torch.mm(a.float(), b.float())


def _capped(logits: torch.Tensor, cap: float | None) -> torch.Tensor:
    """cap · tanh(logits / cap), in place."""
    return logits if cap is None else logits.div_(cap).tanh_().mul_(cap)


# ---- what a recipe may choose ----------------------------------------------------------------------------------------

LogprobsAndEntropies = tuple[torch.Tensor, torch.Tensor | None]


def _streamed(
    hidden: torch.Tensor,
    weight: torch.Tensor,
    targets: torch.Tensor,
    temperature: float,
    cap: float | None,
    with_entropy: bool,
) -> LogprobsAndEntropies:
    if with_entropy:
        return logprobs_and_entropies(hidden, weight, targets, temperature, cap)
    return selected_logprobs(hidden, weight, targets, temperature, cap), None


def _liger(
    hidden: torch.Tensor,
    weight: torch.Tensor,
    targets: torch.Tensor,
    temperature: float,
    cap: float | None,
    with_entropy: bool,
) -> LogprobsAndEntropies:
    from liger_kernel.chunked_loss.fused_linear_ppo import LigerFusedLinearPPOBase

    if cap is not None:
        raise NotImplementedError("Liger's kernel cannot cap logits")  # learner.logits.check_logits has said so
    logprobs: torch.Tensor = LigerFusedLinearPPOBase.chunk_forward(
        hidden[None], weight, targets[None], temperature=temperature
    )
    return logprobs[0], entropies(hidden.detach(), weight, temperature) if with_entropy else None


# `learner.logprobs`: (hidden [M, H], weight [V, H], targets int64[M], temperature, cap, with_entropy) to float32[M].
HEADS: dict[
    str, Callable[[torch.Tensor, torch.Tensor, torch.Tensor, float, float | None, bool], LogprobsAndEntropies]
] = {
    "streamed": _streamed,
    "liger": _liger,
}
