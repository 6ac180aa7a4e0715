"""What do chunked losses save? `python bench/loss_memory.py` prints one table, about two minutes on two cores.

Peak extra memory and time, forward and backward from hidden states and lm_head to both gradients, of each loss over the
streamed log-probabilities of learner/logprobs.py, against the same loss over full logits; Liger's kernel beside it.
With a GPU it measures there, at 65,536 tokens x width 4,096. README.md beside this file says what each row means.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import torch
from liger_kernel.chunked_loss.fused_linear_ppo import LigerFusedLinearPPOBase
from rich.console import Console
from rows import Aim, Row, machine, table

from reprise.learner.logprobs import selected_logprobs
from reprise.learner.losses import PolicyTokens, policy_loss, sft
from reprise.learner.settings import LOSSES as BUILT_IN
from reprise.learner.settings import LearnerSettings

MOTIF_2 = 219_520  # its vocabulary
LOSSES = (*BUILT_IN, "sft")
TRAJECTORY = 512  # tokens


@dataclass(frozen=True, slots=True)
class Cell:
    """One thing to measure, in a process of its own."""

    path: str  # where log-probabilities come from: streamed | liger | full
    loss: str
    tokens: int
    vocabulary: int
    width: int
    dtype: str
    device: str

    @property
    def head_bytes(self) -> int:
        """Of lm_head's gradient, in the weight's type."""
        return self.vocabulary * self.width * getattr(torch, self.dtype).itemsize


@dataclass(frozen=True, slots=True)
class Cost:
    """Peak bytes beside inputs, of which lm_head's gradient is `Cell.head_bytes`; and seconds."""

    peak: int
    seconds: float

    def beside_head(self, cell: Cell) -> int:
        return max(self.peak - cell.head_bytes, 1)


@dataclass(frozen=True, slots=True)
class Plan:
    """What is measured on a kind of device. Full logits are measured at `full` tokens and extrapolated to `tokens`.

    Time is compared where both are measured: tokens[0] == full[1].
    """

    device: str
    dtype: str
    width: int
    vocabularies: tuple[int, ...]
    tokens: tuple[int, ...]
    full: tuple[int, int]
    slowest: float | None  # the aim for time, a ratio

    def cell(self, path: str, loss: str, tokens: int, vocabulary: int, dtype: str | None = None) -> Cell:
        return Cell(path, loss, tokens, vocabulary, self.width, dtype or self.dtype, self.device)


ON_CPU = Plan("cpu", "float32", 256, (32_768, MOTIF_2), (2048, 8192), (1024, 2048), None)
ON_GPU = Plan("cuda", "bfloat16", 4096, (32_768, MOTIF_2), (8192, 65_536), (4096, 8192), 1.3)


def main() -> None:
    arguments = _parser().parse_args()
    plan = ON_GPU if torch.cuda.is_available() else ON_CPU
    if arguments.quick:
        plan = replace(plan, vocabularies=(8192, 16_384), tokens=(512, 1024), full=(256, 512))
    progress = Console(stderr=True)
    with progress.status("starting") as status:

        def cost(cell: Cell) -> Cost:
            status.update(f"measuring {cell.loss}, {cell.path}, {cell.tokens:,} x {cell.vocabulary:,}, {cell.dtype}")
            return _in_its_own_process(cell)

        rows = [row for vocabulary in plan.vocabularies for row in _against_full_logits(plan, vocabulary, cost)]
        rows += [_each_loss(plan, loss, cost) for loss in LOSSES]
        rows += _beside_liger(plan, cost)
        rows.append(_precision(plan))
    here = f"{torch.cuda.get_device_name()}, {machine()}" if plan.device == "cuda" else machine()
    title = f"Memory and time of the losses, width {plan.width:,}, {plan.dtype},"
    Console(width=max(Console().width, 120)).print(table(rows, here, title))
    if arguments.json is not None:
        report = {"machine": here, "plan": asdict(plan), "rows": [row.plain() for row in rows]}
        arguments.json.write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")


# ---- rows ------------------------------------------------------------------------------------------------------------


def _against_full_logits(plan: Plan, vocabulary: int, cost: Callable[[Cell], Cost]) -> list[Row]:
    few, many = (plan.cell("streamed", "grpo", tokens, vocabulary) for tokens in plan.tokens)
    small, large = (plan.cell("full", "grpo", tokens, vocabulary) for tokens in plan.full)
    streamed, full = [cost(few), cost(many)], [cost(small), cost(large)]
    steps = (many.tokens - large.tokens) / (large.tokens - small.tokens)
    expected = full[1].peak + steps * (full[1].peak - full[0].peak) - many.head_bytes
    detail = {
        "streamed": [_plain(few, streamed[0]), _plain(many, streamed[1])],
        "full": [_plain(small, full[0]), _plain(large, full[1])],
        "full_extrapolated_beside_head": expected,
        "head_bytes": many.head_bytes,
    }
    size = f"{many.tokens:,} tokens x {vocabulary:,}"
    grown = (streamed[1].peak - streamed[0].peak) / (many.tokens - few.tokens)
    hidden_bytes = plan.width * getattr(torch, plan.dtype).itemsize
    return [
        Row(
            f"grpo, {size}: peak extra memory",
            f"{_mb(streamed[1].beside_head(many))}, and {_mb(many.head_bytes)} of lm_head's gradient",
            f"{_mb(expected)}: full logits, extrapolated from {small.tokens:,} and {large.tokens:,}",
            streamed[1].beside_head(many) / expected,
            Aim(at_most=0.05),
            detail,
        ),
        Row(
            f"grpo, x {vocabulary:,}: what a token more costs",
            f"{grown / 1e3:.1f} kB, {few.tokens:,} to {many.tokens:,} tokens",
            f"{hidden_bytes / 1e3:.1f} kB, its hidden state ({4e-3 * vocabulary:,.0f} kB: its logits once, float32)",
            grown / hidden_bytes,
            Aim(at_most=4),
            detail,
        ),
        Row(
            f"grpo, {few.tokens:,} tokens x {vocabulary:,}: time",
            f"{streamed[0].seconds:.2f} s ({streamed[1].seconds:.2f} s: {many.tokens:,} tokens)",
            f"{full[1].seconds:.2f} s: full logits",
            streamed[0].seconds / full[1].seconds,
            Aim(at_most=plan.slowest),
            detail,
        ),
    ]


def _each_loss(plan: Plan, loss: str, cost: Callable[[Cell], Cost]) -> Row:
    tokens, vocabulary = plan.full[1], plan.vocabularies[0]
    cells = [plan.cell(path, loss, tokens, vocabulary) for path in ("streamed", "full")]
    ours, full = (cost(cell) for cell in cells)
    return Row(
        f"{loss}, {tokens:,} tokens x {vocabulary:,}: peak extra memory",
        f"{_mb(ours.beside_head(cells[0]))}, {ours.seconds:.2f} s",
        f"{_mb(full.beside_head(cells[1]))}, {full.seconds:.2f} s: full logits",
        ours.beside_head(cells[0]) / full.beside_head(cells[1]),
        Aim(),
        {"streamed": _plain(cells[0], ours), "full": _plain(cells[1], full)},
    )


def _beside_liger(plan: Plan, cost: Callable[[Cell], Cost]) -> list[Row]:
    rows = []
    for dtype in ("float32", "bfloat16"):
        ours, liger = (
            plan.cell(path, "grpo", plan.full[0], plan.vocabularies[1], dtype) for path in ("streamed", "liger")
        )
        costs = [cost(ours), cost(liger)]
        rows.append(
            Row(
                f"grpo, {dtype}, {ours.tokens:,} tokens x {ours.vocabulary:,}: all peak extra memory",
                f"{_mb(costs[0].peak)}, {costs[0].seconds:.2f} s",
                f"{_mb(costs[1].peak)}, {costs[1].seconds:.2f} s: Liger's chunk_forward",
                costs[0].peak / costs[1].peak,
                Aim(),
                {"streamed": _plain(ours, costs[0]), "liger": _plain(liger, costs[1]), "head_bytes": ours.head_bytes},
            )
        )
    return rows


def _precision(plan: Plan) -> Row:
    """The largest error in nats of log-probabilities from the same bfloat16 numbers, against float64."""
    torch.manual_seed(0)
    hidden = torch.randn(128, 256).bfloat16().to(plan.device)
    weight = (0.2 * torch.randn(32_768, 256)).bfloat16().to(plan.device)
    targets = torch.randint(0, len(weight), (len(hidden),)).to(plan.device)
    exact = (hidden.double() @ weight.double().T).log_softmax(-1).gather(1, targets[:, None])[:, 0]
    ours, liger = (_logprobs(path, hidden, weight, targets).double() - exact for path in ("streamed", "liger"))
    errors = [each.abs().max().item() for each in (ours, liger)]
    return Row(
        "log-probabilities under bfloat16: largest error",
        f"{errors[0]:.1e} nats",
        f"{errors[1]:.1e} nats: logits rounded to bfloat16, as Liger's and full ones are",
        errors[0] / errors[1],
        Aim(),
        {"streamed": errors[0], "liger": errors[1]},
    )


def _plain(cell: Cell, cost: Cost) -> dict[str, object]:
    return asdict(cell) | asdict(cost)


def _mb(size: float) -> str:
    return f"{size / 1e6:,.0f} MB"


# ---- measuring -------------------------------------------------------------------------------------------------------


def _in_its_own_process(cell: Cell) -> Cost:
    """A fresh process, so that nothing which another cell has freed and kept is used again without being seen."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["torch", "reprise.learner.losses", LigerFusedLinearPPOBase.__module__])
    with ProcessPoolExecutor(1, mp_context=context) as process:
        return process.submit(measure, cell).result()


def measure(cell: Cell) -> Cost:
    """In this process: peak resident memory, or that of torch's allocator on a GPU, above what the inputs take."""
    warm_up = replace(cell, tokens=256, vocabulary=1024)
    _forward_and_backward(warm_up, *_inputs(warm_up))  # thread pools, libraries' workspaces
    inputs = _inputs(cell)
    on_gpu = cell.device == "cuda"
    if on_gpu:
        _forward_and_backward(cell, *inputs)  # kernels are chosen for the shapes
        for each in inputs[:2]:
            each.grad = None
        torch.cuda.synchronize()
        torch.cuda.reset_peak_memory_stats()
    before = torch.cuda.memory_allocated() if on_gpu else _resident("VmRSS")
    started = time.perf_counter()
    _forward_and_backward(cell, *inputs)
    if on_gpu:
        torch.cuda.synchronize()
    seconds = time.perf_counter() - started
    return Cost((torch.cuda.max_memory_allocated() if on_gpu else _resident("VmHWM")) - before, seconds)


def _resident(field: str) -> int:
    """Bytes of this process in memory: VmRSS now, VmHWM at most so far."""
    for line in Path("/proc/self/status").read_text(encoding="ascii").splitlines():
        if line.startswith(f"{field}:"):
            return int(line.split()[1]) * 1024
    raise RuntimeError(f"/proc/self/status has no {field}")


def _inputs(cell: Cell) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    generator = torch.Generator(cell.device).manual_seed(0)
    dtype = getattr(torch, cell.dtype)

    def noise(rows: int) -> torch.Tensor:
        return torch.randn(rows, cell.width, generator=generator, device=cell.device, dtype=dtype)

    targets = torch.randint(0, cell.vocabulary, (cell.tokens,), generator=generator, device=cell.device)
    return noise(cell.tokens).requires_grad_(), noise(cell.vocabulary).mul_(0.1).requires_grad_(), targets


def _forward_and_backward(cell: Cell, hidden: torch.Tensor, weight: torch.Tensor, targets: torch.Tensor) -> None:
    logprobs = _logprobs(cell.path, hidden, weight, targets)
    if cell.loss == "sft":
        (sft(logprobs) / cell.tokens).backward()
        return
    taken, owner = logprobs.detach(), torch.arange(cell.tokens, device=cell.device) // TRAJECTORY
    tokens = PolicyTokens(
        logprobs,
        proximal=taken + 0.01,
        behaviour=taken - 0.01,
        advantages=1.0 - 2.0 * (owner % 2),
        trajectories=owner,
        lengths=torch.bincount(owner).float(),
    )
    settings = LearnerSettings(loss=cell.loss, max_length=1000 if cell.loss == "dr_grpo" else None)  # type: ignore[arg-type]
    (policy_loss(cell.loss).compute(tokens, settings).total / cell.tokens).backward()


def _logprobs(path: str, hidden: torch.Tensor, weight: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
    if path == "streamed":
        return selected_logprobs(hidden, weight, targets, 1.0)
    if path == "liger":
        per_row: torch.Tensor = LigerFusedLinearPPOBase.chunk_forward(hidden[None], weight, targets[None])
        return per_row[0]
    return (hidden @ weight.T).float().log_softmax(-1).gather(1, targets[:, None])[:, 0]


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="small sizes: to see that it works, not to compare")
    parser.add_argument("--json", type=Path, metavar="PATH", help="also write the numbers behind the table here")
    return parser


if __name__ == "__main__":
    main()
