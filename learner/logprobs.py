"""Per-token log-probabilities and entropy from hidden states, streamed over the vocabulary: no full logits."""

from __future__ import annotations

import torch
from liger_kernel.chunked_loss.fused_linear_ppo import LigerFusedLinearPPOBase

_ROWS = 2048  # as Liger's log-probabilities: a chunk of logits is at most _ROWS x _VOCABULARY float32, 32 MiB
_VOCABULARY = 4096


def selected_logprobs(
    hidden: torch.Tensor, weight: torch.Tensor, targets: torch.Tensor, temperature: float
) -> torch.Tensor:
    """log softmax(hidden @ weight.T / temperature)[targets], differentiable in hidden and weight.

    hidden [M, H], weight [V, H], targets int64[M]; returns float32[M], nats.
    """
    logprobs: torch.Tensor = LigerFusedLinearPPOBase.chunk_forward(
        hidden[None], weight, targets[None], temperature=temperature
    )
    return logprobs[0]


@torch.no_grad()
def entropies(hidden: torch.Tensor, weight: torch.Tensor, temperature: float) -> torch.Tensor:
    """Entropy of softmax(hidden @ weight.T / temperature) in nats, float32[M], without gradient.

    With m the running maximum of the logits z: H = m + log s - u / s, where s = sum exp(z - m), u = sum exp(z - m) z.
    """
    out = torch.empty(len(hidden), dtype=torch.float32, device=hidden.device)
    for start in range(0, len(hidden), _ROWS):
        rows = hidden[start : start + _ROWS]
        top = torch.full((len(rows),), -torch.inf, device=hidden.device)
        mass = torch.zeros_like(top)
        moment = torch.zeros_like(top)
        for first in range(0, len(weight), _VOCABULARY):
            logits = (rows @ weight[first : first + _VOCABULARY].T).float() / temperature
            new_top = torch.maximum(top, logits.amax(dim=-1))
            shrink, exponentials = torch.exp(top - new_top), torch.exp(logits - new_top[:, None])
            mass = mass * shrink + exponentials.sum(dim=-1)
            moment = moment * shrink + (exponentials * logits).sum(dim=-1)
            top = new_top
        out[start : start + _ROWS] = top + mass.log() - moment / mass
    return out
