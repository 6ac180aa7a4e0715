"""The recipe's `rewards:` section: which verifiers judge the answers, and how patient the run is with them."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

Unparseable = Literal["mask", "score_zero"]


class VerifierSettings(BaseModel):
    """One verifier of the recipe; a task names it in its `verifier` field."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    use: str = Field(
        min_length=1,
        description="which class judges: a built-in name (exact, math, reasoning_gym, rules), the name of an entry "
        "point of the group reprise.verifiers, or a dotted path such as my_package.verifiers:MyVerifier",
    )
    args: dict[str, Any] = Field(default_factory=dict, description="keyword arguments of the class")


class RewardSettings(BaseModel):
    """How answers are judged."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    verifiers: dict[str, VerifierSettings] = Field(min_length=1, description="the verifiers tasks may name")
    workers: int = Field(1, ge=1, description="verifier actors for each verifier")
    timeout_s: float = Field(
        300.0,
        gt=0,
        description="seconds a verifier actor may take over one group before the run takes it for dead; far above any "
        "limit a verifier sets for a single answer",
    )
    retries: int = Field(
        2, ge=0, description="how often an answer is judged again after a failure that was not its own (infra_error)"
    )
    unparseable: Unparseable = Field(
        "mask",
        description="what becomes of an answer that cannot be found or read: mask keeps it out of baseline and loss; "
        "score_zero (for ablations) makes it score 0",
    )
    unparseable_warning: float = Field(
        0.2, ge=0, le=1, description="share of unparseable answers of a domain, 0 to 1, beyond which the run warns"
    )
