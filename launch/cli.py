"""`reprise`: the command line. Heavy imports happen inside the commands, so that `--help` answers at once.

Exit codes: 0 fine, 1 the run failed, 2 bad input, 130 interrupted.
"""

from __future__ import annotations

import argparse
import errno
import os
import sys
import traceback
from collections.abc import Sequence
from typing import TYPE_CHECKING

from reprise import __version__
from reprise.core.errors import RunError, UserError
from reprise.core.printable import printable, printable_lines
from reprise.launch.arguments import EXIT_CODES, add_set, command, print_recipe
from reprise.launch.export import add_export
from reprise.launch.planner.command import add_plan
from reprise.launch.reporting.opening import Opening
from reprise.launch.reporting.streams import forgiving_streams
from reprise.launch.run_command import add_sft, add_train
from reprise.launch.verify.command import add_verify

if TYPE_CHECKING:
    from reprise.launch.arguments import Commands

FAILED, BAD_INPUT, INTERRUPTED = 1, 2, 130
_FULL = (errno.ENOSPC, errno.EDQUOT)


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code; `argv` defaults to the process's arguments."""
    with forgiving_streams():
        try:
            here = os.getcwd()
        except FileNotFoundError:
            _complain("reprise: the working folder has been deleted; change to one that is there")
            return BAD_INPUT
        if here not in sys.path:  # plug-ins in the working folder are found by `reprise` as by `python -m`
            sys.path.append(here)
        return _run(argv)


def _run(argv: Sequence[str] | None) -> int:
    args = _parser().parse_args(argv)
    try:
        return args.command(args) or 0
    except UserError as error:
        _complain(f"reprise: {error}")
        return BAD_INPUT
    except KeyboardInterrupt:
        print("reprise: interrupted", file=sys.stderr)
        return INTERRUPTED
    except BrokenPipeError:  # `reprise recipe ... | head`
        return FAILED
    except RunError as error:
        _complain(f"reprise: the run failed: {error}")
        return FAILED
    except Exception as error:  # noqa: BLE001  whatever ended the run: it is reported whole, and by the exit code
        if isinstance(error, OSError) and error.errno in _FULL:
            place = f": {error.filename}" if error.filename else ""
            _complain(f"reprise: failed: {error.strerror}{place}; free some space, and see what can be resumed")
        else:
            _complain(f"{traceback.format_exc()}reprise: failed: {type(error).__name__}: {error}")
        return FAILED


def _complain(text: str) -> None:
    """To stderr. A message quotes what stands in files, which must not command the terminal."""
    print(printable_lines(text), file=sys.stderr)


# --- commands ---------------------------------------------------------------------------------------------------------


def _recipe(args: argparse.Namespace) -> None:
    if args.keys is not None:
        from reprise.launch.dry_run import keys_table
        from reprise.launch.recipe.keys import below
        from reprise.launch.recipe.schema import Recipe
        from reprise.launch.recipe.sft_schema import SftRecipe
        from reprise.launch.reporting.layout import Fitted, console

        kind, other = (SftRecipe, Recipe) if args.sft else (Recipe, SftRecipe)
        chosen = below(args.keys, kind)
        if not chosen:
            there = ", but there is in a recipe for `reprise " + (
                "train`: leave --sft out" if args.sft else "sft`: add --sft"
            )
            raise UserError(
                f"--keys {args.keys}: no such key or section{there if below(args.keys, other) else ''}; --keys alone "
                "lists all"
            )
        console().print(Fitted(keys_table(chosen)))
        return
    if args.recipe is None:
        raise UserError("give a recipe file to print, or --keys to list what a recipe may say")
    print_recipe(args)


def _report(args: argparse.Namespace) -> None:
    from pathlib import Path

    run = Path(args.run_dir)
    if not (run / "metrics.jsonl").is_file():
        raise UserError(f"{run} is not a run's folder: it has no metrics.jsonl; name a folder such as runs/demo")
    Opening().hint("drawing the report")
    from reprise.launch.reporting.layout import console
    from reprise.launch.reporting.report import table_of, write_report
    from reprise.launch.reporting.report.sources import RunRecord

    shown, record = console(), RunRecord.read(run)
    shown.print(table_of(record))
    for text in record.missing:
        shown.print(f"missing  {printable(text)}", style="yellow", markup=False, highlight=False, soft_wrap=True)
    try:
        path = write_report(run)
    except OSError as error:  # a run of somebody else, say
        raise UserError(f"{run / 'report.html'} cannot be written: {error.strerror}") from None
    shown.print(f"report   {path}", markup=False, highlight=False, soft_wrap=True)
    if not record.running and isinstance(resume := record.summary.get("resume"), str):
        shown.print(f"resume   {printable(resume)}", markup=False, highlight=False, soft_wrap=True)


# --- arguments --------------------------------------------------------------------------------------------------------


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="reprise",
        description="Reinforcement-learning post-training of reasoning models with mixed-policy trajectory reuse.\n"
        "A run is described by a recipe, a YAML file; everything it writes lands in runs/<name>/.",
        epilog=f"""\
start here:
  reprise train recipes/demo.yaml --dry-run       what would run, and where; starts nothing
  reprise train recipes/demo.yaml                 the demo: a small policy learns on this machine
  reprise sft recipes/demo_sft.yaml               supervised fine-tuning, before RL
  reprise recipe --keys                           every key a recipe may have

`reprise COMMAND --help` says more. `python -m reprise` is the same program, for `ray job submit`.
{EXIT_CODES}""",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "--version", action="version", version=f"reprise {__version__}", help="print the version and exit"
    )
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)
    add_train(commands)
    add_sft(commands)
    add_plan(commands)
    add_export(commands)
    _add_recipe(commands)
    _add_report(commands)
    add_verify(commands)
    return parser


def _add_recipe(commands: Commands) -> None:
    recipe = command(
        commands,
        "recipe",
        _recipe,
        "print a resolved recipe, or list all keys",
        "Print a recipe as it would run: `extends` followed, --set applied, defaults filled in. The output is\n"
        "a recipe itself. With --keys, list every key with its type, default and meaning.",
        """\
examples:
  reprise recipe recipes/demo.yaml
  reprise recipe recipes/demo.yaml --set learner.epochs=2 > mine.yaml
  reprise recipe --keys
  reprise recipe --keys learner
  reprise recipe --keys stages --sft          keys of recipes for supervised fine-tuning

how to write a recipe:
  extends: demo.yaml        start from another recipe (path relative to the file); the file's own keys are merged
                            over it, section by section; a list replaces a list
  --set a.b.c=value         merged last; the value is YAML: 1e-4, true, null, [a, b], {use: exact};
                            data.train.0.weight=2 sets an item of a list""",
    )
    recipe.add_argument("recipe", metavar="RECIPE", nargs="?", help="a YAML file")
    add_set(recipe)
    recipe.add_argument("--keys", nargs="?", const="", metavar="SECTION", help="list all keys, or those of one section")
    recipe.add_argument("--sft", action="store_true", help="with --keys: the keys of a recipe for `reprise sft`")


def _add_report(commands: Commands) -> None:
    report = command(
        commands,
        "report",
        _report,
        "show a run's table and rebuild its report.html",
        "Print the table of a run, final or so far, and rebuild report.html from the files in its folder. The run may\n"
        "be finished, interrupted or still going.",
        "example:\n  reprise report runs/demo",
    )
    report.add_argument("run_dir", metavar="RUN_DIR", help="the run's folder, such as runs/demo")
