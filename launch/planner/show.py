"""How a plan is printed, for users and for programs."""

from __future__ import annotations

from rich import box
from rich.console import Console
from rich.table import Table

from reprise.launch.planner.outcome import Outcome
from reprise.launch.reporting.layout import Fitted
from reprise.learner.planning.fitting import Change
from reprise.learner.planning.parts import GIB, PHASES, Part, count_of
from reprise.learner.planning.throughput import H100_TFLOPS

MARK = "◀"


def show(outcome: Outcome, console: Console) -> None:
    """Tables, then the verdict in the last lines, where a tired reader looks."""

    def line(text: str) -> None:
        console.print(text, markup=False, highlight=False, soft_wrap=True)

    for text in _heading(outcome):
        line(text)
    for table in (memory_table(outcome), arithmetic_table(outcome), policy_table(outcome)):
        console.print(Fitted(table))
    for text in _speed(outcome):
        line(text)
    line("")
    for text in _verdict(outcome):
        line(text)


def _heading(outcome: Outcome) -> list[str]:
    shape, engine, job = outcome.shape, outcome.job.engine, outcome.job
    where = f"{outcome.nodes} nodes x {outcome.ranks_per_node}" if outcome.nodes > 1 else "1 node"
    return [
        f"Plan of {outcome.recipe} ({outcome.name})",
        f"model   {job.config.get_text_config().model_type}: {count_of(shape.parameters)} parameters = {shape.layers} "
        f"layers x {count_of(shape.layer)} + embedding {count_of(shape.embedding)}"
        + (f" + lm_head {count_of(shape.head)}" if shape.head else " (tied)")
        + f" + norms; {job.dtype}",
        f"ranks   {engine.world_size} = {engine.data_parallel} data x {engine.sequence_parallel} sequence parallel, on "
        f"{where}; ZeRO {engine.zero_stage}",
        f"rows    {job.row_tokens:,} tokens (learner.token_budget), {job.local_tokens:,} a rank",
    ]


def memory_table(outcome: Outcome) -> Table:
    """GiB by part and phase."""
    whole = outcome.budget
    device = "GPU" if outcome.job.on_gpu else "host"
    table = Table(
        box=box.SIMPLE_HEAD, title=f"{device} memory of a rank, GiB, by phase of a step", title_justify="left"
    )
    table.add_column("")
    for phase in PHASES:
        marked = f"{phase} {MARK}" if phase == whole.peak_phase else phase
        table.add_column(marked, justify="right", style="bold" if phase == whole.peak_phase else None)
    table.add_column("in host memory", justify="right")
    for kind in whole.kinds:
        host = sum(p.size for p in whole.parts if p.host and p.kind == kind)
        table.add_row(kind, *(_gib(whole.held(phase, kind)) for phase in PHASES), _gib(host))
    table.add_section()
    table.add_row("total", *(_gib(whole.held(phase)) for phase in PHASES), _gib(whole.host), style="bold")
    return table


def arithmetic_table(outcome: Outcome) -> Table:
    """Every part with how it was found."""
    table = Table(box=box.SIMPLE_HEAD, title="Where the figures come from", title_justify="left")
    table.add_column("")
    table.add_column("GiB", justify="right")
    table.add_column("arithmetic", overflow="fold", ratio=3)
    table.add_column("held in", overflow="fold", ratio=1)
    before = ""
    for part in outcome.budget.parts:
        table.add_row("" if part.kind == before else part.kind, f"{part.size / GIB:.3f}", part.how, _when(part))
        before = part.kind
    return table


def policy_table(outcome: Outcome) -> Table:
    """What every checkpointing policy would mean, the recipe's own marked."""
    table = Table(box=box.SIMPLE_HEAD, title="By learner.checkpointing.policy", title_justify="left")
    columns = ("policy", "kept, GiB", "total, GiB", "fits", "longest row", "computed again", "row, s", "tokens/s")
    for name in columns:
        table.add_column(name, justify="left" if name in ("policy", "fits") else "right")
    for p in outcome.policies:
        own = p.name == outcome.job.engine.checkpointing.policy
        kept = sum(part.size for part in p.budget.parts if part.kind == "activations kept")
        table.add_row(
            f"{p.name} {MARK}" if own else p.name,
            _gib(kept),
            _gib(p.budget.total),
            "yes" if p.budget.total <= outcome.memory else "no",
            f"{p.longest_row:,}",
            f"{p.flops.again / p.flops.model:.0%}",
            "-" if p.throughput is None else f"{p.throughput.row_s:.2f}",
            "-" if p.throughput is None else f"{p.throughput.tokens_s:,.0f}",
            style="bold" if own else None,
        )
    return table


def _speed(outcome: Outcome) -> list[str]:
    work, speed, job = outcome.flops, outcome.throughput, outcome.job
    terms = {
        "forward": work.forward,
        "attention": work.attention,
        "backward": work.backward,
        "computed again": work.again,
        "other passes": work.extra,
    }
    lines = [
        f"FLOPs a token at {job.row_tokens:,} tokens of context: {count_of(round(work.total))} = "
        + " + ".join(f"{name} {count_of(round(value))}" for name, value in terms.items())
    ]
    if job.engine.sequence_parallel > 1:
        lines.append(
            f"Ulysses: a layer exchanges queries, keys, values and outputs of {job.local_tokens:,} tokens with "
            f"{job.engine.sequence_parallel} ranks, forward and backward; its buffers are in what is kept and in the "
            "work of the moment"
        )
    if speed is None:
        return [*lines, "Times are not known without --peak-tflops."]
    peak = outcome.machine.peak_tflops or H100_TFLOPS
    steps = outcome.batch.tokens / speed.tokens_s
    return [
        *lines,
        f"At {outcome.machine.utilisation:.0%} of {peak:g} TFLOPs (assumed): {speed.row_s:.2f} s a row, "
        f"{speed.tokens_s:,.0f} tokens a second over all ranks; MFU without recomputation and other passes "
        f"{speed.mfu:.0%}",
        f"{outcome.batch.how} = {outcome.batch.tokens:,} tokens: {steps:,.1f} s",
    ]


def _verdict(outcome: Outcome) -> list[str]:
    whole, device = outcome.budget, "GPU" if outcome.job.on_gpu else "host memory"
    if outcome.fits:
        lines = [
            f"It fits: {whole.total / GIB:.2f} of {outcome.memory / GIB:.2f} GiB of a rank's {device}, in phase "
            f"{whole.peak_phase}."
        ]
        if whole.host:
            lines.append(
                f"In host memory: {whole.host / GIB:.2f} GiB a rank x {outcome.ranks_per_node} = "
                f"{whole.host * outcome.ranks_per_node / GIB:.1f} GiB a node."
            )
    else:
        lines = [f"It does not fit: {problem}." for problem in outcome.problems]
        if outcome.proposals:
            lines.append("It would fit with" + (" one of:" if len(outcome.proposals) > 1 else ":"))
            lines += [f"  {_settings(change):<70} {_result(change)}" for change in outcome.proposals]
        elif whole.total > outcome.memory:
            lines.append("No change of checkpointing, offload, ZeRO stage, sequence parallelism or ranks makes it fit.")
    lines.append(f"The longest row that fits with these settings: {outcome.longest_row:,} tokens.")
    positions = getattr(outcome.job.config.get_text_config(), "max_position_embeddings", None)
    if positions and outcome.longest_row > positions:
        lines.append(f"The model's own positions reach {positions:,} (max_position_embeddings).")
    return lines


def _settings(change: Change) -> str:
    return " ".join(f"--set learner.{key}={str(value).lower()}" for key, value in change.keys.items())


def _result(change: Change) -> str:
    host = f", and {change.budget.host / GIB:.2f} GiB of host memory" if change.budget.host else ""
    return f"{change.budget.total / GIB:.2f} GiB a rank{host}"


def _when(part: Part) -> str:
    if part.host:
        return "host memory"
    return "always" if part.phases == PHASES else ", ".join(part.phases)


def _gib(size: int) -> str:
    return f"{size / GIB:.2f}" if size else "-"


def as_json(outcome: Outcome) -> dict[str, object]:
    """The same, bytes as integers."""
    job, engine, speed = outcome.job, outcome.job.engine, outcome.throughput
    return {
        "recipe": outcome.recipe,
        "fits": outcome.fits,
        "problems": list(outcome.problems),
        "parameters": outcome.shape.parameters,
        "world_size": engine.world_size,
        "sequence_parallel": engine.sequence_parallel,
        "zero_stage": engine.zero_stage,
        "row_tokens": job.row_tokens,
        "local_tokens": job.local_tokens,
        "memory": outcome.memory,
        "total": outcome.budget.total,
        "host": outcome.budget.host,
        "peak_phase": outcome.budget.peak_phase,
        "by_phase": {phase: outcome.budget.held(phase) for phase in PHASES},
        "parts": [
            {"kind": p.kind, "bytes": p.size, "arithmetic": p.how, "phases": list(p.phases), "host": p.host}
            for p in outcome.budget.parts
        ],
        "longest_row": outcome.longest_row,
        "policies": {
            p.name: {
                "total": p.budget.total,
                "fits": p.budget.total <= outcome.memory,
                "longest_row": p.longest_row,
                "flops_again": p.flops.again,
                "row_s": None if p.throughput is None else p.throughput.row_s,
            }
            for p in outcome.policies
        },
        "flops_a_token": {name: getattr(outcome.flops, name) for name in (*outcome.flops.__slots__, "model", "total")},
        "row_s": None if speed is None else speed.row_s,
        "tokens_s": None if speed is None else speed.tokens_s,
        "mfu": None if speed is None else speed.mfu,
        "batch_tokens": outcome.batch.tokens,
        "batch_s": None if speed is None else outcome.batch.tokens / speed.tokens_s,
        "proposals": [
            {"set": {f"learner.{k}": v for k, v in c.keys.items()}, "total": c.budget.total, "host": c.budget.host}
            for c in outcome.proposals
        ],
    }
