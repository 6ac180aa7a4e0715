"""What `--dry-run` and `recipe --keys` print."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from rich import box
from rich.console import Console, RenderableType
from rich.markup import escape
from rich.table import Table
from rich.text import Text

from reprise.core.printable import printable, printable_lines
from reprise.launch.placement.memory import gib
from reprise.launch.placement.nodes import Placement, Plan
from reprise.launch.placement.plan import split_rows
from reprise.launch.recipe.keys import Key
from reprise.launch.recipe.loading import to_yaml
from reprise.launch.recipe.schema import Recipe
from reprise.launch.recipe.sft_schema import SftRecipe
from reprise.launch.reporting.layout import Fitted

if TYPE_CHECKING:
    from reprise.launch.curriculum import SftData


def show(
    recipe: Recipe | SftRecipe,
    plan: Plan,
    found: Sequence[str],
    console: Console,
    data: RenderableType | None = None,
) -> None:
    """The resolved recipe, its data if there are any to show, the plan, the recipe's notes and what checks found."""
    console.rule("Recipe, as resolved")
    console.print(to_yaml(recipe), markup=False, highlight=False, soft_wrap=True, end="")
    if data is not None:
        console.rule("Data")
        console.print(data)
    console.rule("Plan")
    console.print(Fitted(plan_table(plan)))
    for note in [*recipe.notes(), *split_rows(plan, recipe.learner.sequence_parallel), *found]:
        console.print(Text(f"Note: {printable_lines(note)}"))
    console.print("All checks passed. Nothing was started.", highlight=False)


def data_table(data: SftData) -> Table:
    """One row for each source of each stage, then the held-out ones."""
    table = Table("stage", "source", "domain", "conversations", "tokens", "longest", "steps")
    for column in table.columns[3:]:
        column.justify = "right"
    rows = [(stage.settings.name, stage.sources, f"{stage.steps:,}") for stage in data.stages]
    for name, sources, steps in [*rows, ("held out", data.held_out, "–")]:
        for source in sources:
            names = (Text(printable(text)) for text in (name, source.name, source.domain))
            sizes = (len(source), source.tokens, int(source.lengths.max()))
            table.add_row(*names, *(f"{size:,}" for size in sizes), steps)
            name = steps = ""
    return table


def plan_table(plan: Plan) -> Table:
    """One row for each actor by node, then what each node has."""
    names = sorted({name for placement in plan.placements for name in placement.resources})
    table = Table("node", "actor", "CPUs", "GPUs", "memory", *(escape(name) for name in names))
    for column in table.columns[2:]:
        column.justify = "right"
    for number, node in enumerate(plan.nodes):
        here = plan.on(number)
        label = f"{number} ({node.host})"
        for actor in here:
            memory = gib(actor.memory) if actor.memory else "-"
            table.add_row(label, actor.name, f"{actor.cpus:g}", f"{actor.gpus:g}", memory, *_shown(actor, names))
            label = ""
        cpus, gpus, memory_used = (sum(getattr(a, what) for a in here) for what in ("cpus", "gpus", "memory"))
        table.add_row(
            label,
            "of what the node has",
            f"{cpus:g} / {node.cpus:g}",
            f"{gpus:g} / {node.gpus:g}",
            f"{gib(memory_used)} / {gib(node.memory)}",
            *(f"{sum(a.resources.get(n, 0) for a in here):g} / {node.resources.get(n, 0):g}" for n in names),
            style="bold",
            end_section=True,
        )
    return table


def _shown(actor: Placement, names: Sequence[str]) -> list[str]:
    return [f"{actor.resources[name]:g}" if name in actor.resources else "-" for name in names]


def keys_table(keys: Iterable[Key]) -> Table:
    """Every key with what it takes, its default and what it does."""
    table = Table(box=box.SIMPLE_HEAD, expand=True, pad_edge=False)
    table.add_column("key", no_wrap=True)
    for name, ratio in (("takes", 5), ("default", 2), ("what it does", 9)):
        table.add_column(name, ratio=ratio, overflow="fold")
    for key in keys:
        style = "bold" if key.takes == "section" else None
        table.add_row(key.path, key.takes, key.default, key.description, style=style)
    return table
