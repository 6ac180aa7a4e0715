"""`reprise sft`: its arguments. Heavy imports happen in the command, so that `--help` answers at once."""

from __future__ import annotations

import argparse
import json
import signal
from typing import TYPE_CHECKING

from reprise.launch.arguments import EXIT_CODES, add_nodes, add_set, check_nodes, command, planning, resumed_run
from reprise.launch.reporting.opening import Opening
from reprise.launch.signals import interrupt_on_sigterm

if TYPE_CHECKING:
    from reprise.launch.arguments import Commands


def add_sft(commands: Commands) -> None:
    """`reprise sft RECIPE` and `reprise sft --resume RUN_DIR`."""
    parser = command(
        commands,
        "sft",
        _sft,
        "fine-tune a policy on conversations",
        "Check the recipe, read and tokenise its conversations, then train stage by stage. runs/<name>/ gets\n"
        "metrics.jsonl, summary.json, report.html, checkpoints/ and the final policy as a Hugging Face folder, which\n"
        "`reprise train --set policy.path=runs/<name>/policy` takes up. Ctrl-C stops cleanly.",
        f"""\
examples:
  reprise sft recipes/demo_sft.yaml
  reprise sft recipes/demo_sft.yaml --set stages.0.lr=1e-3 --name lr1e-3
  reprise sft recipes/demo_sft.yaml --set learner.world_size=2 --set learner.sequence_parallel=2
  reprise sft --resume runs/demo_sft                          go on from its last checkpoint
  reprise sft --resume runs/demo_sft --set learner.world_size=1 --set learner.sequence_parallel=1     on one rank
  reprise sft recipes/demo_sft.yaml --dry-run                 what would run; starts nothing

a recipe has:
  stages    a list, trained one after the other; each with sources (messages-format JSONL or Parquet, or a
            generator) and their weights, context, steps or epochs, batch_size, lr, warmup_steps, schedule
  eval      held-out sources, whose loss by domain shows what a stage forgets
  learner   ranks, sequence_parallel, zero_stage, checkpointing, token_budget, optimizer (`reprise plan` sizes them)
  checkpoints   every, keep, asynchronous
`reprise recipe --keys --sft` lists every key.
{EXIT_CODES}""",
    )
    parser.add_argument("recipe", metavar="RECIPE", nargs="?", help="a YAML file; the run's own with --resume")
    add_set(parser)
    parser.add_argument("--name", metavar="N", help="name of the run and of its folder (default: the recipe's name)")
    parser.add_argument("--resume", metavar="RUN_DIR", help="go on with this run from its last complete checkpoint")
    parser.add_argument(
        "--dry-run",
        action="store_true",
        help="print the resolved recipe, the data as read and the resource plan, and start nothing",
    )
    add_nodes(parser)


def _sft(args: argparse.Namespace) -> None:
    from reprise.launch.recipe.loading import load_as
    from reprise.launch.recipe.sft_schema import SftRecipe

    opening = Opening()
    check_nodes(args)
    resumed = resumed_run(args, "recipes/demo_sft.yaml")
    named = [f"name={json.dumps(args.name)}"] if args.name is not None else []
    recipe = load_as(SftRecipe, args.recipe, [*args.set, *named])
    if args.dry_run:
        opening.hint("checking recipe, conversations and resources")
        from reprise.launch.reporting.layout import console
        from reprise.launch.sft_dry_run import show

        with planning(args) as (nodes, assumed):
            show(recipe, nodes, assumed, console())
        return
    opening.say(f"{recipe.name}: loading libraries")
    from reprise.launch.training.quiet import quiet_libraries

    quiet_libraries()
    from reprise.launch.training.sft import train

    # A cluster ends a job with SIGTERM: stop as cleanly as on Ctrl-C, with the report written.
    signal.signal(signal.SIGTERM, interrupt_on_sigterm)
    train(recipe, resumed, opening)
