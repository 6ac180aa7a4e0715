"""Ulysses sequence parallelism: ranks share a row by tokens in the dense layers and by heads in attention.

The exchange is DeepSpeed's `UlyssesSPAttentionHF` (arXiv 2309.14509): before attention an all-to-all gives every rank
all tokens of some heads, after it another gives back all heads of its tokens. DeepSpeed passes no mask; our kernels
know the documents of the row (learner/attention.py), so packed ones stay apart.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from deepspeed.runtime.sequence_parallel.ulysses_sp import UlyssesSPAttentionHF

from reprise.learner.attention import Kernel
from reprise.learner.heads import heads_of
from reprise.learner.rows import RowLayout

if TYPE_CHECKING:
    from transformers import PreTrainedConfig


class Ulysses:
    """Attention on a rank that holds a share of each row's tokens."""

    def __init__(self, kernel: Kernel, config: PreTrainedConfig, group: torch.distributed.ProcessGroup) -> None:
        heads = heads_of(config)
        self._kernel = kernel
        self._exchange = UlyssesSPAttentionHF(
            attn=self._attend,
            batch_size=1,
            attn_head_count=heads.query,
            attn_head_size=heads.head_dim,
            kv_head_count=heads.key_value,
            num_hidden_layers=config.get_text_config().num_hidden_layers,
            process_group=group,
            seq_length_is_variable=True,
        )

    def __call__(
        self,
        module: torch.nn.Module,
        query: torch.Tensor,
        key: torch.Tensor,
        value: torch.Tensor,
        row: RowLayout,
        scaling: float | None,
    ) -> torch.Tensor:
        # DeepSpeed gathers position ids at every layer, which its own kernels need; ours read `row`. One is enough.
        places = torch.zeros(1, 1, dtype=torch.int8, device=query.device)
        out, _ = self._exchange(module, query, key, value, None, position_ids=places, row=row, scaling=scaling)
        return out.view(1, query.shape[2], query.shape[1], -1)  # type: ignore[no-any-return]

    def _attend(
        self,
        module: torch.nn.Module,
        query: torch.Tensor,
        key: torch.Tensor,
        value: torch.Tensor,
        attention_mask: None,
        *,
        row: RowLayout,
        scaling: float | None,
        position_ids: torch.Tensor,
    ) -> tuple[torch.Tensor, None]:
        return self._kernel(query, key, value, row, scaling), None


class SumOverRanks:
    """A differentiable sum over the ranks that share a row. Every one of them must call it the same number of times.

    The loss is the sum of what all ranks make of the sum, so the gradient of one rank's summand is the sum of all
    ranks' gradients of the sum.
    """

    def __init__(self, group: torch.distributed.ProcessGroup | None) -> None:
        self._group = group

    def __call__(self, values: torch.Tensor) -> torch.Tensor:
        if self._group is None:
            return values
        total: torch.Tensor = _AllReduce.apply(values, self._group)  # type: ignore[no-untyped-call]
        return total


class _AllReduce(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, values: torch.Tensor, group: torch.distributed.ProcessGroup) -> torch.Tensor:
        ctx.group = group
        total = values.clone()
        torch.distributed.all_reduce(total, group=group)
        return total

    @staticmethod
    def backward(ctx: Any, *gradients: torch.Tensor) -> tuple[torch.Tensor, None]:
        total = gradients[0].clone()
        torch.distributed.all_reduce(total, group=ctx.group)
        return total, None
