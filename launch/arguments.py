"""What the commands' argument parsers share. Nothing heavy is imported here, so that `--help` answers at once."""

from __future__ import annotations

import argparse
import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, TypeAlias

from reprise.core.errors import UserError

if TYPE_CHECKING:
    from reprise.launch.placement.nodes import Node
    from reprise.launch.reporting.run_folder import RunFolder

# What `add_subparsers` gives: the commands of one parser.
Commands: TypeAlias = "argparse._SubParsersAction[argparse.ArgumentParser]"
_MOST_NODES = 10_000
EXIT_CODES = "exit codes: 0 fine, 1 the run failed, 2 bad input (one clear message), 130 interrupted"


def command(
    commands: Commands, name: str, run: Callable[..., object], summary: str, description: str, epilog: str
) -> argparse.ArgumentParser:
    """A parser for `reprise NAME`; `run` is called with its parsed arguments."""
    parser = commands.add_parser(
        name,
        help=summary,
        description=description,
        epilog=epilog,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.set_defaults(command=run)
    return parser


def add_set(parser: argparse.ArgumentParser) -> None:
    """`--set KEY=VALUE`, any number of times."""
    parser.add_argument(
        "--set",
        action="append",
        default=[],
        metavar="KEY=VALUE",
        help="override one key, such as learner.lr=1e-4; repeatable",
    )


def print_recipe(args: argparse.Namespace) -> None:
    """The resolved recipe, of either kind, as YAML that is a recipe itself."""
    from reprise.launch.recipe.either import load_either
    from reprise.launch.recipe.loading import to_yaml
    from reprise.launch.reporting.streams import strict_stdout

    recipe = load_either(args.recipe, args.set)
    with strict_stdout() as out:
        out.write(to_yaml(recipe, out.encoding))


def resumed_run(args: argparse.Namespace, example: str) -> RunFolder | None:
    """The run of `--resume`, whose own recipe becomes the one to load; None if a new one begins."""
    if args.resume is None:
        if args.recipe is None:
            raise UserError(f"give a recipe file, such as {example}, or --resume RUN_DIR")
        return None
    if args.recipe is not None or args.name is not None:
        raise UserError("--resume continues a run by the recipe in its folder: give neither RECIPE nor --name")
    from reprise.launch.reporting.run_folder import RunFolder

    run = RunFolder.existing(args.resume)
    args.recipe = run.recipe
    return run


def add_nodes(parser: argparse.ArgumentParser) -> None:
    """`--nodes` and what each of them has."""
    cluster = parser.add_argument_group("planning for another cluster (with --dry-run)")
    cluster.add_argument(
        "--nodes", type=positive(int, _MOST_NODES), metavar="N", help="number of nodes (default: this machine)"
    )
    cluster.add_argument("--node-cpus", type=positive(float), metavar="C", help="CPUs of each node")
    cluster.add_argument("--node-gpus", type=natural, metavar="G", help="GPUs of each node")
    cluster.add_argument("--node-memory-gb", type=positive(float), metavar="M", help="free memory of each node, GiB")


def check_nodes(args: argparse.Namespace) -> None:
    """Refuse the description of a cluster where something would be started."""
    if (args.nodes, args.node_cpus, args.node_gpus, args.node_memory_gb) != (None,) * 4 and not args.dry_run:
        raise UserError("--nodes and --node-* describe a cluster to plan for; they go with --dry-run only")


@contextmanager
def planning(args: argparse.Namespace) -> Iterator[tuple[list[Node], list[str]]]:
    """The nodes to plan for, and what to say of what was assumed of them; also said if they have too little."""
    nodes = planned_nodes(args)
    assumed = ""
    if args.nodes is not None and args.node_memory_gb is None:
        gib = nodes[0].memory / 2**30
        assumed = (
            f"Each node is taken to have the memory that is free here, {gib:.3g} GiB; --node-memory-gb says otherwise."
        )
    try:
        yield nodes, [assumed] if assumed else []
    except UserError as error:
        if assumed and "GiB" in str(error):
            raise UserError(f"{error}. {assumed}") from error
        raise


def planned_nodes(args: argparse.Namespace) -> list[Node]:
    """This machine, or the cluster that `--nodes` and `--node-*` describe; what these leave out is as here."""
    from reprise.launch.placement.nodes import Node, local_nodes

    here = local_nodes()[0]
    count = 1 if args.nodes is None else args.nodes
    cpus = here.cpus if args.node_cpus is None else args.node_cpus
    gpus = here.gpus if args.node_gpus is None else args.node_gpus
    memory = here.memory if args.node_memory_gb is None else args.node_memory_gb * 2**30
    return [Node(cpus, gpus, memory, here.host if count == 1 else f"host {i}") for i in range(count)]


def positive(kind: type[int] | type[float], most: float = math.inf) -> Callable[[str], float]:
    """An argument's type: a number above 0, and of at most `most`."""

    def parse(text: str) -> float:
        value = kind(text)
        if not 0 < value < math.inf:
            raise argparse.ArgumentTypeError(f"must be above 0, not {text}")
        if value > most:
            raise argparse.ArgumentTypeError(f"must be at most {most:,}, not {text}")
        return value

    parse.__name__ = "whole number" if kind is int else "number"  # argparse: "invalid number value: 'x'"
    return parse


def natural(text: str) -> int:
    """An argument's type: a whole number of at least 0."""
    value = int(text)
    if value < 0:
        raise argparse.ArgumentTypeError(f"must be at least 0, not {text}")
    return value
