"""The command line of `reprise verify`."""

from __future__ import annotations

import argparse
import signal
import sys
from pathlib import Path

from reprise.core.errors import RunError
from reprise.core.types import Status
from reprise.launch.arguments import EXIT_CODES, Commands, add_set, command
from reprise.launch.signals import interrupt_on_sigterm


def add_verify(commands: Commands) -> None:
    verify = command(
        commands,
        "verify",
        _verify,
        "verify a file of answers",
        "Verify every answer of a file with the verifier that its task names, and print a table by domain and status.\n"
        "The whole file is checked first. A run that was killed continues where it was when the same command is given\n"
        "again: each answer gets exactly one verdict.",
        f"""\
--input, one object a line:
  {{"task": {{"id": "1", "prompt": "2+2?", "domain": "sums", "verifier": "math", "answer": "4"}},
   "response": "It is \\\\boxed{{4}}.", "truncated": false}}
  ("truncated" and the task's "metadata" may be left out; an id may come again and again)
--output, one line for each, in the same order:
  {{"id": "1", "status": "scored", "score": 1.0, "detail": {{"reason": "correct"}}}}
  status is scored, unparseable (no answer found; no score) or infra_error (could not be verified; no score)

examples:
  reprise verify --input answers.jsonl --output verdicts.jsonl
  reprise verify --input answers.jsonl --output verdicts.jsonl --dry-run
  reprise verify --recipe recipes/demo.yaml --input answers.jsonl --output verdicts.jsonl
  reprise verify --set rewards.verifiers.exact.args.tag=answer --input a.jsonl --output v.jsonl
  reprise verify --set rewards.verifiers.mine.use=my_package:MyVerifier --input a.jsonl --output v.jsonl

A recipe's `rewards` section is all that is read of it. Without one, a task may name any built-in or installed verifier
(entry point reprise.verifiers), which then has its defaults. docs/verifiers.md describes them.
What verifiers print goes to the output's .printed, not to the terminal. If not one answer could be verified, the exit
code is 1.
{EXIT_CODES}""",
    )
    verify.add_argument("--recipe", metavar="R", help="a YAML file whose `rewards` section configures the verifiers")
    add_set(verify)
    verify.add_argument("--input", required=True, type=Path, metavar="FILE", help="answers, JSON lines")
    verify.add_argument("--output", required=True, type=Path, metavar="FILE", help="verdicts, JSON lines; appended to")
    verify.add_argument("--retry-infra", action="store_true", help="first verify again the answers with an infra_error")
    verify.add_argument("--dry-run", action="store_true", help="check everything, count the answers, verify nothing")


def _verify(args: argparse.Namespace) -> None:
    from reprise.launch.recipe.loading import load_rewards
    from reprise.launch.reporting.layout import console
    from reprise.launch.verify import run
    from reprise.rewards.registry import installed

    defaults = {"verifiers": {name: {"use": name} for name in installed()}}
    settings = load_rewards(args.recipe, args.set, defaults)
    if args.dry_run:
        run.show_plan(settings, args.input, args.output, console())
        return
    signal.signal(signal.SIGTERM, interrupt_on_sigterm)
    try:
        tally = run.verify(settings, args.input, args.output, console(), args.retry_infra)
    except KeyboardInterrupt:
        print(f"reprise: the verdicts so far are in {args.output}; the same command continues", file=sys.stderr)
        raise
    if tally.all.statuses[Status.INFRA_ERROR] == tally.total:
        raise RunError("not one answer could be verified (infra_error); the causes stand above")
