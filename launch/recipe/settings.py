"""The recipe's `eval`, `tracking` and `cluster` sections: what the front door itself needs."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field


class EvalSettings(BaseModel):
    """Held-out pass@1, sampled at the rollout's temperature on the same engines, before, during and after RL."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    every: int = Field(20, ge=0, description="versions between two evaluations of the run; 0: only before and after")
    tasks_per_domain: int = Field(100, ge=1, description="held-out tasks of each domain during the run, the first ones")
    final_tasks_per_domain: int = Field(300, ge=1, description="held-out tasks of each domain before and after the run")
    samples: int = Field(1, ge=1, description="responses sampled to each task; pass@1 is their mean")

    def due(self, step: int, steps: int) -> bool:
        """Whether a run of `steps` has an evaluation of its curve after `step`, between those before and after RL."""
        return self.every > 0 and step % self.every == 0 and 0 < step < steps

    def on_curve(self, steps: int) -> int:
        """How many tasks of each domain every evaluation of a run of `steps` has: those its curve is drawn over."""
        during = 0 < self.every < steps
        return min(self.tasks_per_domain, self.final_tasks_per_domain) if during else self.final_tasks_per_domain


class TrackingSettings(BaseModel):
    """Where metrics go beside `metrics.jsonl` and the report."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    wandb: Literal["offline", "online", "disabled"] = Field(
        "offline", description="offline writes to the run's folder and needs neither network nor login"
    )
    project: str = Field("reprise", min_length=1, description="wandb project")


class LearnerPlaces(BaseModel):
    """What learner ranks ask of their nodes. CPUs may be fractions; 0 reserves nothing."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    learner_cpus: float = Field(1.0, ge=0, description="CPUs of one learner rank")
    learner_gpus: float = Field(0.0, ge=0, le=1, description="GPUs of one learner rank; below 1 it is shared")
    process_memory_gb: float = Field(
        1.5, ge=0, description="GiB counted for the libraries of each process, beside weights and cache"
    )
    learner_port: int | None = Field(
        None, ge=1024, le=65535, description="port at which learner ranks meet, on rank 0's node; null: a free one"
    )
    start_deadline_s: float = Field(
        120.0, gt=0, description="seconds to wait for what others hold of the cluster, then for the learner's ranks"
    )


class ClusterSettings(LearnerPlaces):
    """What each actor asks of its node. CPUs may be fractions; 0 reserves nothing: it runs beside the others.

    What verifier actors ask for stands beside them, in `rewards.verifiers`.
    """

    engine_cpus: float = Field(1.0, ge=0, description="CPUs of one rollout engine")
    engine_gpus: float = Field(
        0.0, ge=0, le=1, description="GPUs of each tensor-parallel rank of an engine; below 1 it is shared"
    )
    buffer_cpus: float = Field(0.0, ge=0, description="CPUs of the buffer actor")
