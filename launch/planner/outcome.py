"""What `reprise plan` finds out about a recipe."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from reprise.launch.placement.fit import check_fit
from reprise.launch.placement.memory import plan_input
from reprise.launch.placement.nodes import local_nodes
from reprise.launch.planner.jobs import BatchTokens, batch_of, config_of
from reprise.launch.recipe.either import load_either
from reprise.learner.planning.budget import Budget, budget, longest_row
from reprise.learner.planning.fitting import Change, by_policy, proposals
from reprise.learner.planning.job import ModelShape, PlanInput
from reprise.learner.planning.measure import Measured
from reprise.learner.planning.parts import GIB
from reprise.learner.planning.throughput import H100_TFLOPS, Flops, Throughput, flops, throughput

_GPU_GB = 80.0


@dataclass(frozen=True, slots=True)
class Machine:
    """What the command line says about the machines; None: not given."""

    gpu_memory_gb: float | None = None
    host_memory_gb: float | None = None
    nodes: int | None = None
    gpus_per_node: int = 8
    reserve_gb: float = 3.0
    utilisation: float = 0.4
    peak_tflops: float | None = None


@dataclass(frozen=True)
class Policy:
    """The job under one checkpointing policy."""

    name: str
    budget: Budget
    longest_row: int
    flops: Flops
    throughput: Throughput | None


@dataclass(frozen=True)
class Outcome:
    """A recipe's plan.

    memory        bytes that a rank may take on its device
    host_memory   bytes that a rank on a GPU may take of its node; None: not checked
    problems      why it does not fit; empty if it does
    """

    recipe: str
    name: str
    job: PlanInput
    shape: ModelShape
    machine: Machine
    nodes: int
    ranks_per_node: int
    memory: int
    host_memory: int | None
    budget: Budget
    longest_row: int
    flops: Flops
    throughput: Throughput | None
    batch: BatchTokens
    policies: Sequence[Policy]
    problems: Sequence[str] = ()
    proposals: Sequence[Change] = field(default_factory=tuple)

    @property
    def fits(self) -> bool:
        return not self.problems


def plan_recipe(path: str | Path, overrides: Sequence[str], machine: Machine) -> Outcome:
    """Read, measure, add up. Raises UserError for bad input; what does not fit is an outcome."""
    recipe = load_either(path, overrides)
    on_gpu = bool(recipe.cluster.learner_gpus) or machine.gpu_memory_gb is not None
    fixed = machine.reserve_gb if on_gpu else recipe.cluster.process_memory_gb
    job = plan_input(recipe, config_of(recipe.policy), on_gpu, fixed)
    check_fit(recipe, job.config)
    measured = Measured(job)

    ranks = job.engine.world_size
    nodes = machine.nodes or (math.ceil(ranks / machine.gpus_per_node) if on_gpu else 1)
    per_node = math.ceil(ranks / nodes)
    memory, host_memory = _limits(machine, on_gpu, per_node)
    whole = budget(measured, job)
    problems = list(_problems(whole, machine, nodes, memory, host_memory))
    peak = machine.peak_tflops or (H100_TFLOPS if on_gpu else None)

    def speed(planned: PlanInput) -> tuple[Flops, Throughput | None]:
        work = flops(measured, planned)
        return work, None if peak is None else throughput(work, planned, machine.utilisation, peak)

    policies = [
        Policy(b.job.engine.checkpointing.policy, b, longest_row(measured, b.job, memory), *speed(b.job))
        for b in by_policy(measured, job)
    ]
    own = next(p for p in policies if p.name == job.engine.checkpointing.policy)
    return Outcome(
        recipe=str(path),
        name=recipe.name,
        job=job,
        shape=measured.shape,
        machine=machine,
        nodes=nodes,
        ranks_per_node=per_node,
        memory=memory,
        host_memory=host_memory,
        budget=whole,
        longest_row=own.longest_row,
        flops=own.flops,
        throughput=own.throughput,
        batch=batch_of(recipe),
        policies=policies,
        problems=problems,
        proposals=proposals(measured, job, memory) if whole.total > memory else (),
    )


def _limits(machine: Machine, on_gpu: bool, per_node: int) -> tuple[int, int | None]:
    """Bytes of a rank on its device, and in its node's memory beside it."""
    if on_gpu:
        host = None if machine.host_memory_gb is None else int(machine.host_memory_gb * GIB) // per_node
        return int((machine.gpu_memory_gb or _GPU_GB) * GIB), host
    node = local_nodes()[0].memory if machine.host_memory_gb is None else machine.host_memory_gb * GIB
    return int(node) // per_node, None


def _problems(whole: Budget, machine: Machine, nodes: int, memory: int, host_memory: int | None) -> list[str]:
    found = []
    ranks = whole.job.engine.world_size
    if whole.job.on_gpu and ranks > nodes * machine.gpus_per_node:
        found.append(
            f"{ranks} learner ranks need as many GPUs, and {nodes} nodes x {machine.gpus_per_node} have "
            f"{nodes * machine.gpus_per_node}"
        )
    if whole.total > memory:
        found.append(
            f"a rank needs {whole.total / GIB:.2f} GiB in phase {whole.peak_phase} and has {memory / GIB:.2f}: "
            f"{(whole.total - memory) / GIB:.2f} GiB too much"
        )
    if host_memory is not None and whole.host > host_memory:
        found.append(
            f"a rank keeps {whole.host / GIB:.2f} GiB in host memory, and its share of the node is "
            f"{host_memory / GIB:.2f}: {(whole.host - host_memory) / GIB:.2f} GiB too much"
        )
    return found
