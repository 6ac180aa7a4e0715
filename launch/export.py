"""`reprise export`: a run's policy as a Hugging Face folder."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from reprise.core.errors import UserError
from reprise.launch.arguments import EXIT_CODES, add_set, command

if TYPE_CHECKING:
    from reprise.launch.arguments import Commands
    from reprise.launch.reporting.run_folder import RunFolder


def add_export(commands: Commands) -> None:
    """`reprise export RUN_DIR --to DIR`."""
    parser = command(
        commands,
        "export",
        _export,
        "write a run's policy as a Hugging Face folder",
        "Write the policy of a run's checkpoint, the last one if none is named, as a folder that transformers and\n"
        "vLLM load: weights (safetensors, in the recipe's policy.dtype), configuration, tokenizer, chat template and\n"
        "generation config. Motif-2 brings its modelling files: transformers takes it with trust_remote_code=True,\n"
        "vLLM where reprise is installed. The run may be finished, interrupted or still going.",
        f"""\
examples:
  reprise export runs/demo_sft --to exported
  reprise export runs/demo_sft --step 1000 --to exported-1000
  reprise export runs/demo_sft --to x --dry-run          what would be written
  reprise export runs/rl --to x --set policy.path=/new/place/of/the/policy/it/began/from
  reprise export runs/demo_sft --to x --set policy.dtype=bfloat16
a run that reached its end has its last policy in RUN_DIR/policy already
{EXIT_CODES}""",
    )
    parser.add_argument("run_dir", metavar="RUN_DIR", help="the run's folder, such as runs/demo_sft")
    parser.add_argument("--to", required=True, metavar="DIR", help="the folder to write; it must not exist or be empty")
    parser.add_argument("--step", type=int, metavar="N", help="the checkpoint of this step (default: the last)")
    add_set(parser)
    parser.add_argument("--dry-run", action="store_true", help="say what would be written, and write nothing")


def _export(args: argparse.Namespace) -> None:
    from reprise.launch.reporting.run_folder import RunFolder
    from reprise.models.policy import check_model_folder

    run, to = RunFolder.existing(args.run_dir), Path(args.to)
    if to.exists() and (not to.is_dir() or any(to.iterdir())):
        raise UserError(f"--to {to} is there already and not empty; name a new folder")
    policy_dir, dtype = _began_from(run, args.set)
    check_model_folder(policy_dir, "policy.path")
    checkpoint = _checkpoint(run, args.step)
    if args.dry_run:
        print(
            f"would write the policy of {checkpoint} ({dtype}), with configuration and tokenizer of {policy_dir}, "
            f"to {to}"
        )
        return
    from reprise.launch.training.quiet import quiet_libraries

    quiet_libraries()
    from reprise.learner.export import export_checkpoint

    export_checkpoint(checkpoint, policy_dir, dtype, to)
    print(to)


def _began_from(run: RunFolder, overrides: list[str]) -> tuple[Path, str]:
    """The policy folder that the run began from, and the dtype of its weights."""
    from reprise.launch.recipe.either import load_either

    policy = load_either(run.recipe, overrides).policy
    return (run.policy_start if policy.path is None else Path(policy.path)), policy.dtype


def _checkpoint(run: RunFolder, step: int | None) -> Path:
    from reprise.learner.checkpoints.folder import checkpoints, step_of

    found = {step_of(path): path for path in checkpoints(run.checkpoints)}
    if not found:
        raise UserError(
            f"{run.path} has no complete checkpoint (checkpoints.every 0?); its last policy may be in policy/"
        )
    if step is not None and step not in found:
        raise UserError(f"--step {step}: {run.path} has complete checkpoints of the steps {sorted(found)}")
    return found[max(found) if step is None else step]
