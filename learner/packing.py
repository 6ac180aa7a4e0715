"""Token-budget packing: which documents form which row on which data-parallel rank. Pure arithmetic on lengths.

`learner/rows.py` makes tensors of a row and cuts it for sequence-parallel ranks.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from reprise.core.errors import UserError
from reprise.core.types import Bool, Int32, Trajectory


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


# plan[data-parallel rank][micro-batch] = indices of the documents packed into its row; every rank has as many
# micro-batches as the others, some maybe empty.
Plan = list[list[list[int]]]


def plan(lengths: Sequence[int], ranks: int, token_budget: int, cost: Cost) -> Plan:
    """Deal documents to data-parallel ranks by cost and pack each rank's into rows of at most `token_budget` tokens.

    Documents go longest first to the least loaded rank (LPT), and on it into the fullest row that has room (best fit
    decreasing). Each rank's rows run from the costliest to the cheapest, so that ranks which wait for one another in
    every layer (ZeRO-3) have like rows at the same time.
    """
    order = sorted(range(len(lengths)), key=lambda i: (-lengths[i], i))
    loads = [(0.0, rank) for rank in range(ranks)]
    dealt: list[list[int]] = [[] for _ in range(ranks)]
    for i in order:
        load, rank = heapq.heappop(loads)
        dealt[rank].append(i)
        heapq.heappush(loads, (load + cost(lengths[i]), rank))
    rows = [_fill(indices, lengths, token_budget) for indices in dealt]
    for mine in rows:
        mine.sort(key=lambda row: -sum(cost(lengths[i]) for i in row))
    most = max(len(mine) for mine in rows)
    return [mine + [[] for _ in range(most - len(mine))] for mine in rows]


def _fill(indices: list[int], lengths: Sequence[int], token_budget: int) -> list[list[int]]:
    """Rows of `indices`, which come longest first."""
    rows: list[list[int]] = []
    room: list[int] = []
    for i in indices:
        fitting = [row for row, left in enumerate(room) if left >= lengths[i]]
        if fitting:
            row = min(fitting, key=room.__getitem__)
        else:
            row = len(rows)
            rows.append([])
            room.append(token_budget)
        rows[row].append(i)
        room[row] -= lengths[i]
    return rows


def row_length(documents: Sequence[int], sequence_parallel: int) -> int:
    """Tokens of a row that holds documents of these lengths: padded so that sequence-parallel ranks have equal shares.

    A row without documents still has one token a rank: work that keeps collectives in step.
    """
    return max(1, -(-sum(documents) // sequence_parallel)) * sequence_parallel


def padding_share(plan: Plan, lengths: Sequence[int], sequence_parallel: int) -> float:
    """Share of all computed tokens that is padding."""
    rows = [[lengths[i] for i in row] for rank in plan for row in rank]
    return 1 - sum(map(sum, rows)) / sum(row_length(row, sequence_parallel) for row in rows)


def imbalance(plan: Plan, lengths: Sequence[int], cost: Cost) -> float:
    """How much more the most loaded data-parallel rank computes than the mean one: max / mean - 1, in FLOPs."""
    loads = [sum(cost(lengths[i]) for row in rank for i in row) for rank in plan]
    mean = sum(loads) / len(loads)
    return max(loads) / mean - 1 if mean else 0.0
