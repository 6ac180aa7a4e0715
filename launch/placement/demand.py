"""What a run asks of its nodes: every actor with its CPUs, GPUs, memory and custom resources."""

from __future__ import annotations

from reprise.launch.placement.memory import PolicySize, engine_parts, learner_parts
from reprise.launch.placement.nodes import Actor
from reprise.launch.recipe.schema import Recipe


def one_host(recipe: Recipe) -> bool:
    """Whether learner rank 0 and all engines must share a host."""
    return recipe.weights.transport in ("shared_memory", "ipc")


def actors(recipe: Recipe, size: PolicySize | None = None) -> list[Actor]:
    """Every process of a run."""
    cluster, megabyte = recipe.cluster, 10**6
    learner_memory, engine_memory = sum(learner_parts(recipe, size).values()), sum(engine_parts(recipe, size).values())
    return [
        Actor("driver", 0),
        *(
            Actor("learner", rank, cluster.learner_cpus, cluster.learner_gpus, learner_memory)
            for rank in range(recipe.learner.world_size)
        ),
        *(
            Actor("engine", i, cluster.engine_cpus, recipe.engine_gpus, engine_memory)
            for i in range(recipe.rollout.engines)
        ),
        *(
            Actor("verifier", i, verifier.cpus, verifier.gpus, kind=kind, resources=verifier.resources)
            for kind, verifier in recipe.rewards.verifiers.items()
            for i in range(verifier.workers)
        ),
        Actor("buffer", 0, cluster.buffer_cpus, memory=recipe.buffer.max_bytes_mb * megabyte),
    ]


def is_bound(actor: Actor) -> bool:
    """Whether the actor belongs to those that `one_host` keeps together."""
    return actor.role == "engine" or (actor.role == "learner" and actor.index == 0)
