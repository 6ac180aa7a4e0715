"""The recipe's `rewards:` section: which verifiers verify the answers, and within which limits."""

from __future__ import annotations

import math
import re
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator

Unparseable = Literal["mask", "score_zero", "score_zero_if_complete"]
# Names under which Ray itself counts, and where they are asked for.
_RAYS_OWN = {
    "CPU": "use cpus",
    "GPU": "use gpus",
    "memory": "Ray does not bound an actor's memory",
    "object_store_memory": "Ray's own",
}


class VerifierSettings(BaseModel):
    """One verifier of the recipe; a task names it in its `verifier` field."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    use: str = Field(
        min_length=1,
        description="the class or function: a built-in name (code, compose, exact, format, instruction, llm_judge, "
        "math, reasoning_gym, rules, tools), the name of an entry point of the group reprise.verifiers, or a dotted "
        "path such as my_package.verifiers:MyVerifier or ./my_rewards.py:score",
    )
    args: dict[str, object] = Field(default_factory=dict, description="its keyword arguments")
    workers: int = Field(1, ge=1, le=1024, description="actors of this verifier; each has one object of the class")
    cpus: float = Field(0.0, ge=0, description="CPUs of one actor; 0 reserves nothing: it runs beside the others")
    gpus: float = Field(0.0, ge=0, description="GPUs of one actor; below 1 a GPU is shared, above 1 a whole number")
    resources: dict[str, float] = Field(
        default_factory=dict,
        description="Ray resources of your own that one actor takes, as nodes offer them with ray start --resources, "
        "such as {judge_host: 1}",
    )
    concurrency: int = Field(
        1,
        ge=1,
        description="batches that an actor verifies at a time, each in a thread; above 1 for a class whose verify may "
        "be called from several threads at once (one that waits for a service, for example)",
    )
    queue: int = Field(
        8, ge=1, description="batches that may wait for each actor; when all places are taken, sampled groups wait"
    )
    deadline_s: float = Field(
        120.0,
        gt=0,
        description="seconds for one group. An actor that takes longer is killed and restarted, and the answers are "
        "verified again one by one; an answer that takes longer alone too scores 0 (timeout). Keep it far above any "
        "limit the class sets for a single answer, and below buffer.take_deadline_s",
    )
    start_deadline_s: float = Field(
        300.0, gt=0, description="seconds that an actor's start may take, that of the class included"
    )

    @field_validator("gpus")
    @classmethod
    def _no_part_beside_whole_gpus(cls, gpus: float) -> float:
        if gpus > 1 and gpus % 1 != 0:
            raise ValueError(f"gpus above 1 are given out whole, not as {gpus:g}")
        return gpus

    @field_validator("resources")
    @classmethod
    def _resources_of_your_own(cls, resources: dict[str, float]) -> dict[str, float]:
        for name, amount in resources.items():
            if name in _RAYS_OWN:
                raise ValueError(f"resources: {name} is none of your own; {_RAYS_OWN[name]}")
            if not name or not 0 < amount < math.inf:
                raise ValueError(f"resources: each has a name and an amount above 0, not {name!r}: {amount:g}")
        return resources


class RewardSettings(BaseModel):
    """How answers are verified."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    verifiers: dict[str, VerifierSettings] = Field(
        min_length=1, description="the verifiers tasks may name; letters, digits, dots, dashes and underscores"
    )
    retries: int = Field(
        2, ge=0, description="how often an answer is verified again after a failure that was not its own (infra_error)"
    )
    unparseable: Unparseable = Field(
        "mask",
        description="what becomes of an answer that cannot be found or read: mask keeps it out of baseline and loss; "
        "score_zero_if_complete makes it score 0 where the response ended by itself, and masks it where the token "
        "limit cut it off; score_zero (for ablations) makes it score 0 always",
    )
    unparseable_warning: float = Field(
        0.2, ge=0, le=1, description="share of unparseable answers of a domain, 0 to 1, beyond which the run warns"
    )
    infra_error_warning: float = Field(
        0.05,
        ge=0,
        le=1,
        description="share of a domain's answers that could not be verified (infra_error), beyond which the run warns",
    )

    @field_validator("verifiers")
    @classmethod
    def _names_fit_into_metrics(cls, verifiers: dict[str, VerifierSettings]) -> dict[str, VerifierSettings]:
        for name in verifiers:
            if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]*", name):
                raise ValueError(f"a verifier's name has letters, digits, dots, dashes and underscores, not {name!r}")
        return verifiers
