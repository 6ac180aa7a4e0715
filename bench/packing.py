"""What packing wastes: padding and imbalance of rows over data-parallel ranks, for a long-tailed mix of lengths.

Lengths are log-normal with the 99th percentile at 20 times the median, as reasoning traces are, cut at the budget.
FLOPs are those of the 12.7B policy. Fixed rows are what trainers do that pad each row to the budget; in order is
packing without balance: documents as they come, rows dealt round robin.

    python bench/packing.py [--documents 1024] [--budget 65536] [--median 2000] [--ranks 8] [--seed 0]
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence

import numpy as np
from rich.console import Console
from rich.table import Table

from reprise.learner.packing import Cost, Plan, imbalance, padding_share, plan, row_length

# 12.7B policy: 2 FLOPs a weight without embeddings; 4 x 40 heads x 256 x 40 layers / 2 (causal) for a pair of tokens.
COST = Cost(per_token=2 * 10.9e9, per_pair=4 * 0.5 * 40 * 40 * 256)
SEQUENCE_PARALLEL = 8


def log_normal(count: int, median: int, budget: int, seed: int) -> list[int]:
    """Lengths whose 99th percentile is 20 times the median."""
    sigma = np.log(20) / 2.3263
    lengths = np.random.default_rng(seed).lognormal(np.log(median), sigma, count)
    return np.clip(lengths, 16, budget).astype(int).tolist()  # type: ignore[no-any-return]


def in_order(lengths: Sequence[int], ranks: int, budget: int) -> Plan:
    """First come, first packed: a row is closed when the next document does not fit; rows go round robin."""
    rows: list[list[int]] = []
    filled = budget
    for i, n in enumerate(lengths):
        if filled + n > budget:
            rows.append([])
            filled = 0
        rows[-1].append(i)
        filled += n
    dealt = [rows[rank::ranks] for rank in range(ranks)]
    most = max(map(len, dealt))
    return [rank + [[] for _ in range(most - len(rank))] for rank in dealt]


def unfilled(layout: Plan, lengths: Sequence[int], budget: int) -> float:
    """Share of the budget that rows leave free: padding, where rows have a fixed length."""
    rows = [row for rank in layout for row in rank]
    return 1 - sum(lengths[i] for row in rows for i in row) / (budget * len(rows))


def lockstep(layout: Plan, lengths: Sequence[int]) -> float:
    """Time over the mean, minus 1, where ranks wait for the slowest after every row (ZeRO-3)."""
    rows = [[sum(COST(lengths[i]) for i in row) for row in rank] for rank in layout]
    return sum(map(max, zip(*rows, strict=True))) / (sum(map(sum, rows)) / len(rows)) - 1


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name, default in (("documents", 1024), ("budget", 65536), ("median", 2000), ("ranks", 8), ("seed", 0)):
        parser.add_argument(f"--{name}", type=int, default=default)
    args = parser.parse_args()
    lengths = log_normal(args.documents, args.median, args.budget, args.seed)
    print(
        f"{len(lengths)} documents, {sum(lengths):,} tokens; median {int(np.median(lengths)):,}, "
        f"p99 {int(np.percentile(lengths, 99)):,}, longest {max(lengths):,}; rows of {args.budget:,} tokens shared by "
        f"{SEQUENCE_PARALLEL} sequence-parallel ranks, {args.ranks} data-parallel ranks"
    )
    table = Table(
        "packing", "rows a rank", "padding", "imbalance of FLOPs", "waiting row by row", "fixed rows: padding"
    )
    for column in table.columns[1:]:
        column.justify = "right"
    for name, layout in (
        ("reprise", plan(lengths, args.ranks, args.budget, COST)),
        ("in order", in_order(lengths, args.ranks, args.budget)),
        ("one a row", [[[i] for i in range(len(lengths))[rank :: args.ranks]] for rank in range(args.ranks)]),
    ):
        assert all(row_length([lengths[i] for i in row], SEQUENCE_PARALLEL) <= args.budget for r in layout for row in r)
        table.add_row(
            name,
            str(len(layout[0])),
            f"{padding_share(layout, lengths, SEQUENCE_PARALLEL):.3%}",
            f"{imbalance(layout, lengths, COST):.2%}",
            f"{lockstep(layout, lengths):.1%}",
            f"{unfilled(layout, lengths, args.budget):.1%}",
        )
    Console().print(table)
    print("aims: padding <= 3%, imbalance <= 5%")


if __name__ == "__main__":
    main()
