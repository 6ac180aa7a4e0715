"""What Motif-2's layer costs: `python bench/motif2.py` prints one table, about a minute and a half on one core.

Grouped differential attention (GDA) against grouped-query attention (GQA) of the same parameter count, PolyNorm against
SwiGLU, a whole layer against Llama's; and what a token takes in an engine's key-value cache. On a GPU (`--device cuda`)
at full width, 8K and 64K tokens. README.md beside this file says what each row means.
"""

from __future__ import annotations

import os

# Before torch is imported: one thread, whose CPU time does not depend on what else the machine does.
os.environ.setdefault("OMP_NUM_THREADS", "1")

import argparse
import json
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field, replace
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import torch
from rich.console import Console
from rows import Aim, Row, machine, table
from torch import nn
from transformers import AutoModel, LlamaConfig

from reprise.learner import attention
from reprise.learner.activation_checkpointing.live_bytes import LiveBytes
from reprise.learner.rows import RowLayout
from reprise.models.motif2 import Motif2Config
from reprise.models.motif2.attention import rotary_embedding
from reprise.models.motif2.configuration import PRESETS

PARTS = ("attention", "mlp", "activation", "layer")


@dataclass(frozen=True, slots=True)
class Case:
    """One part of a layer on one row of documents."""

    part: str
    documents: tuple[int, ...]

    @property
    def tokens(self) -> int:
        return sum(self.documents)

    @property
    def row(self) -> str:
        among = f" in {len(self.documents)} documents" if len(self.documents) > 1 else ""
        return f"{self.tokens:,} tokens{among}"


@dataclass(frozen=True, slots=True)
class Plan:
    """What is measured on a kind of device. `edge` is that of the square matrices whose product is the ceiling."""

    device: str
    dtype: str
    preset: str
    cases: tuple[Case, ...]
    rounds: int
    edge: int
    changes: dict[str, Any] = field(default_factory=dict)  # to the preset

    @property
    def config(self) -> Motif2Config:
        """Of one layer without a vocabulary."""
        return Motif2Config(**{**PRESETS[self.preset], "vocab_size": 8, "num_hidden_layers": 1, **self.changes})


ON_CPU = Plan(
    "cpu",
    "float32",
    "small",
    (
        Case("attention", (1024,)),
        Case("attention", (512, 256, 128, 128)),
        *(Case(part, (1024,)) for part in PARTS[1:]),
    ),
    rounds=6,
    edge=2048,
)
ON_GPU = Plan(
    "cuda",
    "bfloat16",
    "12p7b",
    tuple(Case(part, (tokens,)) for tokens in (8192, 65_536) for part in PARTS),
    rounds=7,
    edge=8192,
)
QUICK = {"hidden_size": 64, "intermediate_size": 128, "head_dim": 16}


@dataclass(frozen=True, slots=True)
class Side:
    """One of the two compared: a module, how it is called, and the matrix FLOPs that its forward pass needs."""

    module: nn.Module
    call: Callable[..., torch.Tensor]
    flops: float

    @property
    def parameters(self) -> int:
        return sum(p.numel() for p in self.module.parameters())


@dataclass(frozen=True, slots=True)
class Cost:
    """Of one pass: seconds in each round, and the most bytes that it held beside parameters, gradients and inputs."""

    seconds: list[float]
    peak: int


def main() -> None:
    arguments = _parser().parse_args()
    device = arguments.device or ("cuda" if torch.cuda.is_available() else "cpu")
    plan = ON_GPU if device == "cuda" else ON_CPU
    if arguments.quick:
        cases = [Case("attention", (64, 32)), *(Case(part, (96,)) for part in PARTS)]
        plan = replace(plan, cases=tuple(cases), rounds=2, edge=256, changes=QUICK)
    with Console(stderr=True).status("starting") as status:
        ceiling = matmul_ceiling(plan)
        rows = []
        for case in plan.cases:
            status.update(f"measuring {case.part}, {case.row}")
            rows += _compared(plan, case, ceiling)
    rows += _cache_rows()
    here = f"{torch.cuda.get_device_name()}, {machine()}" if device == "cuda" else machine()
    config, kernel = plan.config, _kernel(plan.device).__name__
    title = (
        f"Motif-2's layer {config.hidden_size:,} wide (MLP {config.intermediate_size:,}, {config.num_noise_heads} "
        f"groups of heads of {config.head_dim}), {plan.dtype}, {kernel}, ceiling {ceiling / 1e9:,.0f} GFLOP/s,"
    )
    Console(width=max(Console().width, 120)).print(table(rows, here, title))
    if arguments.json is not None:
        report = {"machine": here, "plan": asdict(plan), "ceiling": ceiling, "rows": [row.plain() for row in rows]}
        arguments.json.write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")


# ---- rows ------------------------------------------------------------------------------------------------------------


def _compared(plan: Plan, case: Case, ceiling: float) -> list[Row]:
    """Forward, and forward with backward, of ours against theirs."""
    names = {"attention": ("GDA", "GQA"), "layer": ("GDA and PolyNorm", "GQA and SwiGLU")}
    ours, theirs = names.get(case.part, ("PolyNorm", "SwiGLU"))
    sides = sides_of(plan, case)
    rows = []
    for passes in ("forward", "forward and backward"):
        try:
            costs = _measured(plan, case, sides, backward=passes != "forward")
        except torch.OutOfMemoryError:
            torch.cuda.empty_cache()
            costs = [Cost([float("nan")], 0)] * 2
        times = 1 if passes == "forward" else 3  # a backward pass needs two products for each of the forward pass
        shown = [_shown(case, side, cost, times, ceiling) for side, cost in zip(sides, costs)]
        rows.append(
            Row(
                f"{case.part}, {case.row}: {passes}",
                f"{ours}: {shown[0]}",
                f"{theirs}: {shown[1]}",
                min(costs[1].seconds) / min(costs[0].seconds),  # of rates, as shown
                Aim(),
                {
                    "parameters": [side.parameters for side in sides],
                    "needed_flops": [times * side.flops for side in sides],
                    "costs": [asdict(cost) for cost in costs],
                },
            )
        )
    return rows


def _shown(case: Case, side: Side, cost: Cost, times: int, ceiling: float) -> str:
    best = min(cost.seconds)
    if best != best:
        return "out of memory"
    parts = [f"{case.tokens / best:,.0f} tokens/s"]
    if side.flops:
        parts.append(f"{times * side.flops / best / ceiling:.0%} of the ceiling")
    parts.append(f"peak {cost.peak / 1e6:,.0f} MB, {side.parameters:,} parameters")
    return ", ".join(parts)


def cache_bytes(config: Motif2Config, itemsize: int) -> tuple[int, int]:
    """Bytes a token of the engine's cache, whose heads are those of the attention interface; and what keys and values
    have by themselves."""
    heads, each = config.ulysses_heads, 2 * config.num_hidden_layers * itemsize
    return each * heads["key_value"] * heads["head_dim"], each * config.num_key_value_heads * config.head_dim


def _cache_rows() -> list[Row]:
    rows = []
    for preset in ("tiny", "12p7b"):
        config, dtype = Motif2Config(**PRESETS[preset]), PRESETS[preset]["dtype"]
        itemsize = getattr(torch, dtype).itemsize
        ours, ideal = cache_bytes(config, itemsize)
        width = config.num_key_value_heads * config.head_dim
        against = f"{ideal:,} bytes: 2 x {width:,} x {config.num_hidden_layers} layers x {itemsize}"
        rows.append(
            Row(f"key-value cache a token, {preset}", f"{ours:,} bytes", against, ours / ideal, Aim(at_most=1), {})
        )
    # What a head pair of width D keeps otherwise: k1 with [v1|v2] and k2 with the same again; or each k with each v.
    for what, kept in (("two calls, V twice as wide", 2 * (1 + 2)), ("four calls", 4 * (1 + 1))):
        share = kept / 4
        rows.append(Row(f"the same by {what}", f"{share * ideal:,.0f} bytes (arithmetic)", against, share, Aim(), {}))
    return rows


# ---- the two sides ---------------------------------------------------------------------------------------------------


def matching_heads(groups: int) -> tuple[int, int]:
    """Query and key-value heads of grouped-query attention with as many parameters as GDA of `groups`, an even number.

    Both have q, k, v and o projections over heads of one width. A group of GDA is 5 + 2 + 2 of them, and 8 into o_proj;
    8 query heads and half a key-value head are 8 + ½ + ½ and 8.
    """
    return 8 * groups, groups // 2


def sides_of(plan: Plan, case: Case) -> tuple[Side, Side]:
    """Motif-2's part and transformers' Llama's, which differ in nothing else than what is compared."""
    config, packed = plan.config, plan.device == "cuda" or len(case.documents) > 1
    query, key_value = matching_heads(config.ulysses_heads["groups"])
    standard = LlamaConfig(
        vocab_size=8,
        hidden_size=config.hidden_size,
        intermediate_size=config.intermediate_size,
        num_hidden_layers=1,
        num_attention_heads=query,
        num_key_value_heads=key_value,
        head_dim=config.head_dim,
        rms_norm_eps=config.rms_norm_eps,
    )
    device, dtype = torch.device(plan.device), getattr(torch, plan.dtype)
    positions = torch.cat([torch.arange(length, device=device) for length in case.documents])[None]
    given: dict[str, Any] = {
        "attention_mask": None,
        "position_ids": positions,
        "position_embeddings": rotary_embedding(config, positions, dtype),
    }
    if packed:  # as the learner does it
        given |= {"row": RowLayout(list(case.documents), device), "over": attention.Whole(_kernel(plan.device))}
    # Multiply-adds of a pair of tokens: q·k and probabilities times v, which is twice as wide in GDA. A signal query
    # needs only one half of the padded width; what the other costs is not counted as needed.
    heads, width = config.num_attention_heads, config.head_dim
    pairs = sum(length * (length + 1) / 2 for length in case.documents)
    cores = (2 * pairs * heads * 3 * width, 2 * pairs * query * 2 * width)
    sides = []
    for made, core in zip((config, standard), cores):
        implementation = attention.NAME if packed else "sdpa"
        model: Any = AutoModel.from_config(made, attn_implementation=implementation, dtype=dtype).to(device)
        layer = model.layers[0]
        sides.append(_side(case, layer, given, core))
    return sides[0], sides[1]


def _side(case: Case, layer: Any, given: dict[str, Any], core: float) -> Side:
    def products(module: nn.Module) -> float:
        return 2 * case.tokens * sum(p.numel() for p in module.parameters() if p.dim() == 2)

    match case.part:
        case "attention":
            own: nn.Module = layer.self_attn
            return Side(own, lambda hidden: own(hidden_states=hidden, **given)[0], products(own) + core)
        case "mlp":
            return Side(layer.mlp, layer.mlp, products(layer.mlp))
        case "activation":
            act: nn.Module = layer.mlp.act_fn
            return Side(act, lambda gate, up: act(gate) * up, 0.0)
        case _:
            return Side(layer, lambda hidden: layer(hidden, **given), products(layer) + core)


def _kernel(device: str) -> attention.Kernel:
    return attention.flash_attention_2 if device == "cuda" and find_spec("flash_attn") else attention.sdpa


# ---- measuring -------------------------------------------------------------------------------------------------------


def _measured(plan: Plan, case: Case, sides: Sequence[Side], backward: bool) -> list[Cost]:
    """Both sides in turn, each first in every other round, so that what else the machine does slows both; before that a
    pass of each that is not timed and measures memory."""
    dtype, config = getattr(torch, plan.dtype), plan.config
    shape = (1, case.tokens, config.intermediate_size if case.part == "activation" else config.hidden_size)
    generator = torch.Generator(plan.device).manual_seed(0)
    inputs = [
        torch.randn(shape, generator=generator, device=plan.device, dtype=dtype).requires_grad_(backward)
        for _ in range(2 if case.part == "activation" else 1)
    ]
    upstream = torch.ones(shape, device=plan.device, dtype=dtype)

    def run(side: Side) -> None:
        with torch.set_grad_enabled(backward):
            out = side.call(*inputs)
        if backward:
            out.backward(upstream)

    for leaf in [*inputs, *(p for side in sides for p in side.module.parameters())]:
        leaf.grad = torch.zeros_like(leaf) if backward else None
    if plan.device == "cuda":
        for side in sides:  # kernels are compiled and chosen, workspaces stay
            run(side)
    peaks = [_peak(plan.device, partial(run, side)) for side in sides]
    seconds: list[list[float]] = [[] for _ in sides]
    for turn in range(plan.rounds):
        for which in (0, 1) if turn % 2 == 0 else (1, 0):
            seconds[which].append(_seconds(plan.device, partial(run, sides[which])))
    return [Cost(taken, peak) for taken, peak in zip(seconds, peaks)]


def matmul_ceiling(plan: Plan) -> float:
    """FLOPs a second of one large matrix product, the best of several."""
    one, other = (
        torch.randn(plan.edge, plan.edge, device=plan.device).to(getattr(torch, plan.dtype)) for _ in range(2)
    )
    best = min(_seconds(plan.device, lambda: one @ other) for _ in range(plan.rounds + 1))
    return 2 * plan.edge**3 / best


def _seconds(device: str, run: Callable[[], object]) -> float:
    """CPU time if on a CPU, else time until the device has finished."""
    clock = time.perf_counter if device == "cuda" else time.process_time
    _synchronize(device)
    started = clock()
    run()
    _synchronize(device)
    return clock() - started


def _peak(device: str, run: Callable[[], object]) -> int:
    """Bytes: of torch's allocator on a GPU, of living tensors on a CPU."""
    if device == "cpu":
        with LiveBytes() as live:
            run()
        return live.peak
    _synchronize(device)
    torch.cuda.reset_peak_memory_stats()
    before = torch.cuda.memory_allocated()
    run()
    _synchronize(device)
    return torch.cuda.max_memory_allocated() - before


def _synchronize(device: str) -> None:
    if device == "cuda":
        torch.cuda.synchronize()


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", choices=("cpu", "cuda"), help="a GPU if there is one, by default")
    parser.add_argument("--quick", action="store_true", help="small sizes: to see that it works, not to compare")
    parser.add_argument("--json", type=Path, metavar="PATH", help="also write the numbers behind the table here")
    return parser


if __name__ == "__main__":
    main()
