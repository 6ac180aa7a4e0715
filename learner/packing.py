"""Token-budget packing: which documents form which micro-batch on which rank, and a micro-batch as tensors.

Pure arithmetic on lengths plus one function that makes tensors; nothing here knows DeepSpeed or a loss.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import torch

from buffer.errors import UserError
from buffer.types import Bool, Int32, Trajectory


@dataclass(frozen=True, slots=True, eq=False)
class Document:
    """A token sequence and the positions whose tokens are to be predicted.

    tokens   int32[T]
    targets  int32[M]  ascending positions in 1..T-1; the log-probability of tokens[t] given tokens[:t] is wanted
    """

    tokens: Int32
    targets: Int32

    @property
    def length(self) -> int:
        """Tokens that enter the model: none from the last target on, since nothing is predicted from them."""
        return int(self.targets[-1]) if len(self.targets) else 0


def document(prompt_ids: Int32, response_ids: Int32, wanted: Bool | None = None) -> Document:
    """Prompt (not empty) and response as one document whose response tokens, or the `wanted` of them, are predicted."""
    if not len(prompt_ids):
        raise UserError("a document needs at least one prompt token to predict its first response token from")
    positions = len(prompt_ids) + np.arange(len(response_ids), dtype=np.int32)
    tokens = np.concatenate([prompt_ids, response_ids]).astype(np.int32)
    return Document(tokens, positions if wanted is None else positions[wanted])


def require_fits(trajectories: Iterable[Trajectory], token_budget: int) -> None:
    """Refuse a trajectory that no micro-batch can hold; it is never cut silently."""
    for t in trajectories:
        prompt, response = len(t.prompt_ids), len(t.response_ids)
        if prompt + response > token_budget:
            raise UserError(
                f"task {t.task_id!r}: a trajectory of {prompt} prompt + {response} response tokens does not fit "
                f"learner.token_budget {token_budget}; raise it to at least {prompt + response}, or lower "
                f"rollout.max_response_tokens"
            )


@dataclass(frozen=True, slots=True)
class Cost:
    """Forward FLOPs of a document of n tokens: per_token * n + per_pair * n * n. The backward pass is twice that."""

    per_token: float
    per_pair: float

    def __call__(self, n: int) -> float:
        return self.per_token * n + self.per_pair * n * n


# plan[rank][micro-batch] = indices of documents; every rank has the same number of micro-batches, some maybe empty.
Plan = list[list[list[int]]]


def plan(lengths: Sequence[int], world_size: int, token_budget: int, cost: Cost) -> Plan:
    """Deal documents to ranks by cost (longest first to the least loaded), then fill micro-batches in order of length.

    A micro-batch of B documents of at most L tokens obeys B * L <= token_budget: the rectangle that attention works on,
    so memory is bounded by the budget, and documents of like length together leave little padding in it.
    """
    order = sorted(range(len(lengths)), key=lambda i: (-lengths[i], i))
    loads = [(0.0, rank) for rank in range(world_size)]
    dealt: list[list[int]] = [[] for _ in range(world_size)]
    for i in order:
        load, rank = heapq.heappop(loads)
        dealt[rank].append(i)
        heapq.heappush(loads, (load + cost(lengths[i]), rank))
    filled = [_fill(indices, lengths, token_budget) for indices in dealt]
    most = max(len(micro_batches) for micro_batches in filled)
    return [micro_batches + [[] for _ in range(most - len(micro_batches))] for micro_batches in filled]


def _fill(indices: list[int], lengths: Sequence[int], token_budget: int) -> list[list[int]]:
    """Micro-batches of `indices`, which come longest first: the first of each sets its width."""
    micro_batches: list[list[int]] = []
    for i in indices:
        if not micro_batches or (len(micro_batches[-1]) + 1) * lengths[micro_batches[-1][0]] > token_budget:
            micro_batches.append([])
        micro_batches[-1].append(i)
    return micro_batches


def padding_share(plan: Plan, lengths: Sequence[int]) -> float:
    """Share of all attention rectangles that is padding; the dense layers see none."""
    micro_batches = [m for rank in plan for m in rank if m]
    area = sum(len(m) * max(lengths[i] for i in m) for m in micro_batches)
    return 1 - sum(lengths[i] for m in micro_batches for i in m) / area if area else 0.0


@dataclass(frozen=True, slots=True, eq=False)
class MicroBatch:
    """Documents packed into one row of T tokens; M of its hidden states predict a target.

    input_ids, position_ids  int64[1, T]  positions start at 0 in each document
    rectangle                int64[B, L]  see learner.attention
    row_slots                int64[T]
    predictors               int64[M]     positions in the row whose hidden state predicts a target
    targets                  int64[M]     the tokens they predict, document by document
    """

    input_ids: torch.Tensor
    position_ids: torch.Tensor
    rectangle: torch.Tensor
    row_slots: torch.Tensor
    predictors: torch.Tensor
    targets: torch.Tensor


def pack(documents: Sequence[Document], device: torch.device) -> MicroBatch:
    """One micro-batch. Without documents it is a single token without a target: work that keeps collectives in step."""
    none = np.zeros(0, np.int32)
    tokens = [d.tokens[: d.length] for d in documents] or [np.zeros(1, np.int32)]
    lengths = np.asarray([len(t) for t in tokens])
    starts = np.cumsum(lengths) - lengths
    width = int(lengths.max())
    rectangle = starts[:, None] + np.minimum(np.arange(width), lengths[:, None] - 1)
    row_slots = [i * width + np.arange(n) for i, n in enumerate(lengths)]

    def to(x: np.ndarray) -> torch.Tensor:
        return torch.from_numpy(x.astype(np.int64)).to(device)

    return MicroBatch(
        input_ids=to(np.concatenate(tokens)[None]),
        position_ids=to(np.concatenate([np.arange(n) for n in lengths])[None]),
        rectangle=to(rectangle),
        row_slots=to(np.concatenate(row_slots)),
        predictors=to(np.concatenate([none, *(d.targets + start - 1 for start, d in zip(starts, documents))])),
        targets=to(np.concatenate([none, *(d.tokens[d.targets] for d in documents)])),
    )
