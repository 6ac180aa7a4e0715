"""What `reprise sft --dry-run` prints."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from rich.console import Console
from rich.table import Table
from rich.text import Text

from reprise.core.printable import printable, printable_lines
from reprise.launch.curriculum import SftData
from reprise.launch.dry_run import plan_table
from reprise.launch.placement.nodes import Node
from reprise.launch.placement.plan import split_rows
from reprise.launch.recipe.loading import to_yaml
from reprise.launch.recipe.sft_schema import SftRecipe, notes
from reprise.launch.reporting.layout import Fitted
from reprise.launch.training import sft_preflight as preflight


def show(recipe: SftRecipe, nodes: Sequence[Node], found: Sequence[str], console: Console) -> None:
    """The resolved recipe, its data, the plan and what is worth knowing, `found` included.

    Conversations are tokenised if the policy is there; one that a builder would make is not built.
    """
    plan = preflight.check(recipe, nodes)
    preflight.check_records(recipe)
    data = None if recipe.policy.path is None else preflight.load(recipe, Path(recipe.policy.path))
    console.rule("Recipe, as resolved")
    console.print(to_yaml(recipe), markup=False, highlight=False, soft_wrap=True, end="")
    console.rule("Data")
    if data is None:
        console.print("Read and tokenised once the policy, and with it the tokenizer, has been built.")
    else:
        console.print(Fitted(_data_table(data)))
    console.rule("Plan")
    console.print(Fitted(plan_table(plan)))
    split = split_rows(plan, recipe.learner.sequence_parallel)
    for note in [*notes(recipe), *split, *found, *(data.notes if data else ())]:
        console.print(Text(f"Note: {printable_lines(note)}"))
    console.print("All checks passed. Nothing was started.", highlight=False)


def _data_table(data: SftData) -> Table:
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
