"""The command line of `reprise plan`. Heavy imports happen in the command, so that `--help` answers at once."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from reprise.launch.arguments import add_set, command, positive, print_recipe

if TYPE_CHECKING:
    from reprise.launch.arguments import Commands


def add_plan(commands: Commands) -> None:
    """`reprise plan RECIPE`."""
    plan = command(
        commands,
        "plan",
        _plan,
        "memory and time of a recipe's learner ranks",
        "Print what a learner rank of an RL or SFT recipe holds in memory, part by part and phase by phase, with the\n"
        "arithmetic; what each checkpointing policy would change; the longest row that fits; FLOPs a token and the\n"
        "time of a row. Nothing is trained and no weights are needed: activations are measured on the real code with\n"
        "fake tensors, which takes seconds for any size of model.",
        """\
examples:
  reprise plan recipes/demo.yaml                                       a CPU recipe: host memory of a rank
  reprise plan recipes/maths_and_code.yaml --gpu-memory-gb 80          as if its ranks had GPUs
  reprise plan recipe.yaml --set learner.token_budget=131072           would 128K tokens fit?
  reprise plan recipe.yaml --set learner.checkpointing.policy=attention --set learner.zero_stage=3
  reprise plan recipe.yaml --nodes 4 --gpus-per-node 8 --mfu 0.35
  reprise plan recipe.yaml --json > plan.json

how to read it:
  The phases of a step need different things at once: forward, head (log-probabilities and their gradients), layers
  (the backward pass through them), embedding, step (the optimiser). The largest must fit. Rows are full
  (learner.token_budget), of one document, every token trained on, with several micro-batches a step: the worst case.

exit codes: 0 it fits, 1 it does not (by how much, and what would), 2 bad input (one clear message), 130 interrupted""",
    )
    plan.add_argument("recipe", metavar="RECIPE", help="a YAML file, for `reprise train` or for `reprise sft`")
    add_set(plan)
    plan.add_argument(
        "--gpu-memory-gb",
        type=positive(float),
        metavar="M",
        help="memory of a GPU, GiB (default: 80 where the recipe gives its ranks GPUs; else host memory is planned)",
    )
    plan.add_argument(
        "--host-memory-gb",
        type=positive(float),
        metavar="M",
        help="memory of a node, GiB, shared by its ranks (default on CPU: what is free here; on GPUs: not checked)",
    )
    plan.add_argument("--nodes", type=positive(int), metavar="N", help="nodes (default: as many as the ranks need)")
    plan.add_argument("--gpus-per-node", type=positive(int), default=8, metavar="G", help="default: 8")
    plan.add_argument(
        "--reserve-gb",
        type=positive(float),
        default=3.0,
        metavar="R",
        help="memory of a GPU that is not the learner's to use, GiB: CUDA context, NCCL, workspaces, fragmentation "
        "(default: 3, an assumption)",
    )
    plan.add_argument(
        "--mfu",
        type=_share,
        default=0.4,
        metavar="U",
        help="share of the peak that is reached while computing, all FLOPs counted (default: 0.4, an assumption)",
    )
    plan.add_argument(
        "--peak-tflops",
        type=positive(float),
        metavar="P",
        help="peak of a device, 10^12 FLOPs a second (default: 989, an H100's in bfloat16; on CPU none, so no times)",
    )
    plan.add_argument(
        "--dry-run", action="store_true", help="print the resolved recipe that would be planned, and measure nothing"
    )
    plan.add_argument("--json", action="store_true", help="print everything as one JSON object, bytes as integers")


def _share(text: str) -> float:
    value = float(text)
    if not 0 < value <= 1:
        raise argparse.ArgumentTypeError(f"must lie above 0 and at most at 1, not {text}")
    return value


def _plan(args: argparse.Namespace) -> int:
    import json

    from reprise.launch.reporting.opening import Opening
    from reprise.launch.reporting.streams import strict_stdout

    if args.dry_run:
        print_recipe(args)
        return 0
    Opening().hint("measuring the learner on fake tensors: up to a minute")
    from reprise.launch.training.quiet import quiet_libraries

    quiet_libraries()  # before DeepSpeed is imported, which would print among the JSON
    from reprise.launch.planner.outcome import Machine, plan_recipe
    from reprise.launch.planner.show import as_json, show

    machine = Machine(
        gpu_memory_gb=args.gpu_memory_gb,
        host_memory_gb=args.host_memory_gb,
        nodes=args.nodes,
        gpus_per_node=args.gpus_per_node,
        reserve_gb=args.reserve_gb,
        utilisation=args.mfu,
        peak_tflops=args.peak_tflops,
    )
    outcome = plan_recipe(args.recipe, args.set, machine)
    if args.json:
        with strict_stdout() as out:
            out.write(json.dumps(as_json(outcome), indent=2) + "\n")
    else:
        from reprise.launch.reporting.layout import console

        show(outcome, console(log_width=140))
    return 0 if outcome.fits else 1
