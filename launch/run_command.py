"""`reprise train` and `reprise sft`. Heavy imports happen in the commands, so that `--help` answers at once."""

from __future__ import annotations

import argparse
import json
import signal
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from reprise.launch.arguments import EXIT_CODES, add_nodes, add_set, check_nodes, command, planning, resumed_run
from reprise.launch.reporting.opening import Opening
from reprise.launch.signals import interrupt_on_sigterm

if TYPE_CHECKING:
    from reprise.launch.arguments import Commands
    from reprise.launch.recipe.schema import Recipe
    from reprise.launch.recipe.sft_schema import SftRecipe
    from reprise.launch.reporting.run_folder import RunFolder


def add_train(commands: Commands) -> None:
    """`reprise train RECIPE` and `reprise train --resume RUN_DIR`."""
    _add(
        commands,
        "train",
        "train a policy by a recipe",
        "Check the recipe, its tasks, verifiers and resources, then train and show progress. runs/<name>/ gets\n"
        "metrics.jsonl, summary.json, report.html and the final policy as a Hugging Face folder. Ctrl-C stops cleanly\n"
        "and still writes the report. If the name is taken, the run gets a number (demo-2).",
        f"""\
examples:
  reprise train recipes/demo.yaml
  reprise train recipes/demo.yaml --set seed=1 --set learner.lr=5e-4 --name lr5e-4
  reprise train recipes/demo.yaml --set policy.path=/models/my-policy --set before=null
  reprise train recipes/demo.yaml --set rollout.max_staleness=0        synchronous training, for comparison
  reprise train --resume runs/demo                                     continue after Ctrl-C, a failure or a crash
  reprise train recipes/demo.yaml --dry-run --nodes 2 --node-cpus 8    plan for another cluster, of two nodes
on a Ray cluster (README: On a cluster):
  ray job submit --working-dir . -- python -m reprise train recipes/demo.yaml
{EXIT_CODES}""",
        resume="continue this run from its last complete checkpoint, with an empty buffer",
        dry_run="print the resolved recipe and the resource plan, and start nothing",
    )


def add_sft(commands: Commands) -> None:
    """`reprise sft RECIPE` and `reprise sft --resume RUN_DIR`."""
    _add(
        commands,
        "sft",
        "fine-tune a policy on conversations",
        "Check the recipe, read and tokenise its conversations, then train stage by stage. runs/<name>/ gets\n"
        "metrics.jsonl, summary.json, report.html, checkpoints/ and the final policy as a Hugging Face folder, which\n"
        "`reprise train --set policy.path=runs/<name>/policy` takes up. Ctrl-C stops cleanly.",
        f"""\
examples:
  reprise sft recipes/demo_sft.yaml
  reprise sft recipes/demo_sft.yaml --set stages.0.lr=1e-3 --name lr1e-3
  reprise sft recipes/demo_sft.yaml --set learner.world_size=2 --set learner.sequence_parallel=2
  reprise sft --resume runs/demo_sft                          continue from its last checkpoint
  reprise sft --resume runs/demo_sft --set learner.world_size=1 --set learner.sequence_parallel=1     on one rank
  reprise sft recipes/demo_sft.yaml --dry-run                 what would run; starts nothing

`reprise recipe --keys --sft` lists every key; `reprise plan` sizes the learner.
{EXIT_CODES}""",
        resume="continue this run from its last complete checkpoint",
        dry_run="print the resolved recipe, the data as read and the resource plan, and start nothing",
    )


def _add(
    commands: Commands, name: str, summary: str, description: str, epilog: str, *, resume: str, dry_run: str
) -> None:
    """The parser of a command that makes a run."""
    parser = command(commands, name, partial(_run, sft=name == "sft"), summary, description, epilog)
    parser.add_argument("recipe", metavar="RECIPE", nargs="?", help="a YAML file; the run's own with --resume")
    add_set(parser)
    parser.add_argument("--name", metavar="N", help="name of the run and of its folder (default: the recipe's name)")
    parser.add_argument("--resume", metavar="RUN_DIR", help=resume)
    parser.add_argument("--dry-run", action="store_true", help=dry_run)
    add_nodes(parser)


def _run(args: argparse.Namespace, sft: bool) -> None:
    from reprise.launch.recipe.loading import load_as
    from reprise.launch.recipe.schema import Recipe
    from reprise.launch.recipe.sft_schema import SftRecipe

    opening = Opening()
    check_nodes(args)
    resumed = resumed_run(args, "recipes/demo_sft.yaml" if sft else "recipes/demo.yaml")
    named = [f"name={json.dumps(args.name)}"] if args.name is not None else []
    kind: type[Recipe | SftRecipe] = SftRecipe if sft else Recipe
    recipe = load_as(kind, args.recipe, [*args.set, *named])
    if args.dry_run:
        _dry_run(args, recipe, resumed, opening)
        return
    opening.say(f"{recipe.name}: loading libraries")
    from reprise.launch.training.quiet import quiet_libraries

    quiet_libraries()
    start: Callable[[], None]
    if isinstance(recipe, SftRecipe):
        from reprise.launch.training.sft import train as fine_tune

        start = partial(fine_tune, recipe, resumed, opening)
    else:
        from reprise.launch.training.rl import train

        start = partial(train, recipe, resumed, opening)
    # A cluster ends a job with SIGTERM: stop as cleanly as on Ctrl-C, with the report written.
    signal.signal(signal.SIGTERM, interrupt_on_sigterm)
    start()


def _dry_run(args: argparse.Namespace, recipe: Recipe | SftRecipe, resumed: RunFolder | None, opening: Opening) -> None:
    from reprise.launch.recipe.schema import Recipe

    sft = not isinstance(recipe, Recipe)
    opening.hint(f"checking recipe, {'conversations' if sft else 'tasks, verifiers'} and resources")
    from reprise.launch.dry_run import data_table, show
    from reprise.launch.reporting.layout import Fitted, console

    if resumed is not None:
        from reprise.launch.training.resuming import check_resumable, check_same_tasks

        check_resumable(resumed, recipe)
    if isinstance(recipe, Recipe):
        from reprise.launch.training import preflight
        from reprise.launch.training.trial import try_verifiers

        with planning(args) as (nodes, assumed):
            checked = preflight.check(recipe, nodes)
        if resumed is not None:
            check_same_tasks(resumed, recipe, checked.tasks)
        found = [*checked.tasks.notes, *assumed, *try_verifiers(recipe.rewards, checked.tasks)]
        show(recipe, checked.plan, found, console())
        return
    from reprise.data.sft.reading import check_records
    from reprise.launch.training import sft_preflight
    from reprise.launch.training.conversations import load

    with planning(args) as (nodes, assumed):
        plan = sft_preflight.check(recipe, nodes)
        check_records(recipe.sources)
    # Conversations are tokenised if the policy is there; one that a builder would make is not built.
    data = None if recipe.policy.path is None else load(recipe, Path(recipe.policy.path))
    later = "Read and tokenised once the policy, and with it the tokenizer, has been built."
    found = [*assumed, *(data.notes if data else ())]
    show(recipe, plan, found, console(), Fitted(data_table(data)) if data else later)
