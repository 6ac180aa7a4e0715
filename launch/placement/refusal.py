"""Why a run does not fit: the first sum that is too large, and what to change."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

from reprise.launch.placement.demand import together
from reprise.launch.placement.memory import GIB, PolicySize, engine_parts, gib, rank_parts
from reprise.launch.placement.nodes import Actor, Node
from reprise.launch.recipe.schema import Recipe
from reprise.launch.recipe.sft_schema import SftRecipe


class _Resource(NamedTuple):
    """How to read and write one kind of resource of actors and nodes."""

    name: str
    of: Callable[[Actor | Node], float]
    shown: Callable[[float], str]


_RESOURCES = (
    _Resource("CPUs", lambda x: x.cpus, lambda n: f"{n:g} CPU" + "s" * (n != 1)),
    _Resource("GPUs", lambda x: x.gpus, lambda n: f"{n:g} GPU" + "s" * (n != 1)),
    _Resource("memory", lambda x: x.memory, gib),
)
_FIX_CUSTOM = "change rewards.verifiers.*.resources, or offer more of it with ray start --resources"
_FIX = {
    "CPUs": "try fewer learner.world_size or rollout.engines, smaller cluster.*_cpus or rewards.verifiers.*.cpus, "
    "or more nodes",
    "GPUs": "try fewer learner.world_size, rollout.engines, rollout.engine.tensor_parallel or "
    "rewards.verifiers.*.gpus, or more nodes",
    "memory": "try a smaller rollout.engine.kv_cache_gb, fewer actors, or more nodes",
}


class _Short(NamedTuple):
    """What does not fit, as far as the amount that is there, and what to change."""

    what: str
    fix: str


def refusal(recipe: Recipe | SftRecipe, wanted: Sequence[Actor], nodes: Sequence[Node], size: PolicySize | None) -> str:
    """The message for a run that cannot be placed: one engine's cache, one learner rank, any one actor, the bound ones,
    or all together."""
    short = _cache_too_large(recipe, nodes, size) if isinstance(recipe, Recipe) else None
    what, fix = short or _rank_too_large(recipe, nodes, size) or _shortage(wanted, nodes, together(recipe))
    return f"{what}; {fix}"


def shortage(wanted: Sequence[Actor], free: Sequence[Node], together: str) -> str:
    """Why actors that have a place on the nodes have none in what of them is free now."""
    return f"{_shortage(wanted, free, together).what} free"


def _shortage(wanted: Sequence[Actor], nodes: Sequence[Node], together: str) -> _Short:
    have = "the machine has" if len(nodes) == 1 else f"the {len(nodes)} nodes have"
    return (
        _single(wanted, nodes)
        or (_one_host(together, wanted, nodes) if together else None)
        or _sum(wanted, nodes, "the run", have)
        or _fragmented(wanted, nodes)
    )


def _cache_too_large(recipe: Recipe, nodes: Sequence[Node], size: PolicySize | None) -> _Short | None:
    parts = engine_parts(recipe, size)
    needed, largest = sum(parts.values()), max(node.memory for node in nodes)
    if needed <= largest or "cache" not in parts:
        return None
    most = (largest - (needed - parts["cache"])) / recipe.rollout.engine.tensor_parallel
    tenths = int(most / GIB * 10) / 10
    fix = f"lower rollout.engine.kv_cache_gb to at most {tenths:g}" if tenths > 0 else "use a larger machine"
    return _Short(
        f"too little memory for the engine's cache: one engine needs {_terms(parts)} = {gib(needed)}, "
        f"{_largest(nodes)} {gib(largest)}",
        fix,
    )


def _rank_too_large(recipe: Recipe | SftRecipe, nodes: Sequence[Node], size: PolicySize | None) -> _Short | None:
    parts = rank_parts(recipe, size)
    needed, largest = sum(parts.values()), max(node.memory for node in nodes)
    if needed <= largest or size is None:
        return None
    return _Short(
        f"too little memory for a learner rank: one needs {_terms(parts)} = {gib(needed)} beside its activations, "
        f"{_largest(nodes)} {gib(largest)}",
        "try a higher learner.zero_stage over more learner.world_size, or larger nodes; `reprise plan` says what fits",
    )


def _terms(parts: Mapping[str, float]) -> str:
    return " + ".join(f"{gib(part)} {name}" for name, part in parts.items())


def _single(wanted: Sequence[Actor], nodes: Sequence[Node]) -> _Short | None:
    for resource in _kinds(wanted):
        most = max(map(resource.of, nodes))
        for actor in wanted:
            if resource.of(actor) > most:
                asked, there = resource.shown(resource.of(actor)), resource.shown(most)
                return _Short(f"{actor.name} needs {asked}, {_largest(nodes)} {there}", _fix(resource))
    return None


def _one_host(together: str, wanted: Sequence[Actor], nodes: Sequence[Node]) -> _Short | None:
    """`largest` is the host with most of the resource, as each resource is looked at alone."""
    hosts: dict[str, list[Node]] = {}
    for node in nodes:
        hosts.setdefault(node.host, []).append(node)
    if len(hosts) == 1:
        return None
    bound = [actor for actor in wanted if actor.is_bound]
    why = f"{together} keeps learner rank 0 and all engines on one host, which"
    for resource in _RESOURCES:
        largest = max(hosts.values(), key=lambda host: sum(map(resource.of, host)))
        if found := _sum(bound, largest, why, "the largest host has", only=resource):
            return found
    return None


def _sum(
    wanted: Sequence[Actor], nodes: Sequence[Node], who: str, have: str, only: _Resource | None = None
) -> _Short | None:
    for resource in [only] if only else _kinds(wanted):
        needed, there = sum(map(resource.of, wanted)), sum(map(resource.of, nodes))
        if needed > there + 1e-9:
            return _Short(
                f"{who} needs {_arithmetic(wanted, resource)}, {have} {resource.shown(there)}", _fix(resource)
            )
    return None


def _fragmented(wanted: Sequence[Actor], nodes: Sequence[Node]) -> _Short:
    needs = "; ".join(
        f"{_arithmetic(wanted, resource)} of {' + '.join(resource.shown(resource.of(node)) for node in nodes)}"
        for resource in _kinds(wanted)
        if any(map(resource.of, wanted))
    )
    return _Short(
        f"the run fits into the nodes' sum but not node by node, as no actor spans two: {needs}", _FIX["CPUs"]
    )


def _arithmetic(wanted: Sequence[Actor], resource: _Resource) -> str:
    """`2 learner x 1 CPU + 1 engine x 1 CPU = 3 CPUs`"""
    counts: dict[tuple[str, float], int] = {}
    for actor in wanted:
        if resource.of(actor):
            key = (actor.role, resource.of(actor))
            counts[key] = counts.get(key, 0) + 1
    terms = " + ".join(f"{count} {role} x {resource.shown(each)}" for (role, each), count in counts.items())
    return f"{terms} = {resource.shown(sum(map(resource.of, wanted)))}"


def _kinds(actors: Sequence[Actor]) -> tuple[_Resource, ...]:
    """Every kind of resource that these actors ask for, the custom ones last."""
    names = sorted({name for actor in actors for name in actor.resources})
    return (*_RESOURCES, *(_custom(name) for name in names))


def _custom(name: str) -> _Resource:
    return _Resource(name, lambda x: x.resources.get(name, 0.0), lambda n: f"{n:g} {name}")


def _fix(resource: _Resource) -> str:
    return _FIX.get(resource.name, _FIX_CUSTOM)


def _largest(nodes: Sequence[Node]) -> str:
    return "the machine has" if len(nodes) == 1 else "the largest node has"
