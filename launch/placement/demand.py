"""What a run asks of its nodes: every actor with its CPUs, GPUs, memory and custom resources."""

from __future__ import annotations

from reprise.core.transport import transport_class
from reprise.launch.placement.memory import PolicySize, engine_parts, rank_parts
from reprise.launch.placement.nodes import Actor
from reprise.launch.recipe.schema import Recipe
from reprise.launch.recipe.sft_schema import SftRecipe


def together(recipe: Recipe | SftRecipe) -> str:
    """The setting that keeps learner rank 0 and all engines on one host; empty if none does."""
    if isinstance(recipe, Recipe) and transport_class(recipe.weights.transport_path).one_host:
        return f"weights.transport {recipe.weights.transport}"
    return ""


def actors(recipe: Recipe | SftRecipe, size: PolicySize | None = None) -> list[Actor]:
    """Every process of a run."""
    rank_memory = sum(rank_parts(recipe, size).values())
    ranks = [
        Actor("learner", rank, recipe.cluster.learner_cpus, recipe.cluster.learner_gpus, rank_memory)
        for rank in range(recipe.learner.world_size)
    ]
    if isinstance(recipe, SftRecipe):
        return [Actor("driver", 0), *ranks]
    engine_memory = sum(engine_parts(recipe, size).values())
    return [
        Actor("driver", 0),
        *ranks,
        *(
            Actor("engine", i, recipe.cluster.engine_cpus, recipe.engine_gpus, engine_memory)
            for i in range(recipe.rollout.engines)
        ),
        *(
            Actor("verifier", i, verifier.cpus, verifier.gpus, kind=kind, resources=verifier.resources)
            for kind, verifier in recipe.rewards.verifiers.items()
            for i in range(verifier.workers)
        ),
        Actor("buffer", 0, recipe.cluster.buffer_cpus, memory=recipe.buffer.max_bytes_mb * 10**6),
    ]
