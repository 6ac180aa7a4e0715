"""Settings of the buffer. No number has a default: every number of a run lives in its recipe."""

from __future__ import annotations

import math
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from reprise.core.errors import UserError


class ReuseSettings(BaseModel):
    """How often and how long a group may be trained on again."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    max_uses: int = Field(
        ge=1, description="Passes over a group at most, its first batch included; a batch is `learner.epochs` uses."
    )
    max_age: int = Field(
        ge=1, description="Versions after its first batch beyond which a group is not trained on again and is evicted."
    )


class BufferSettings(BaseModel):
    """The trajectory buffer: the make-up of a batch, what a group must teach, and the memory it may hold."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    batch_groups: int = Field(ge=1, description="Groups in a training batch, fresh and reused together.")
    fresh_fraction: float = Field(
        gt=0, le=1, description="Share of a batch's groups, rounded up, that were never trained on; the rest is reused."
    )
    max_groups: int = Field(
        ge=1, description="Groups held at most; for it reusable groups are evicted, never fresh ones."
    )
    max_bytes_mb: float = Field(gt=0, description="Megabytes (10^6 bytes) held at most; evicts like max_groups.")
    starvation_groups: int = Field(ge=1, description="Groups in a row that teach nothing before the run is ended.")
    normalize_std: bool = Field(description="Divide a group's centred rewards by their population standard deviation.")
    truncated: Literal["keep", "mask"] = Field(
        description="keep: train on truncated but scored trajectories; mask: use only their reward, in the mean."
    )
    take_deadline_s: float = Field(
        gt=0, description="Seconds the learner waits for its next batch before the run fails."
    )
    reuse: ReuseSettings

    @property
    def fresh_per_batch(self) -> int:
        """Groups of every batch that were never trained on: ceil(fresh_fraction * batch_groups)."""
        # The tolerance keeps 0.07 * 100 = 7.000000000000001 at 7.
        return max(1, math.ceil(self.fresh_fraction * self.batch_groups - 1e-9))

    @property
    def reused_per_batch(self) -> int:
        """Groups of a batch that may be reused ones."""
        return self.batch_groups - self.fresh_per_batch

    @model_validator(mode="after")
    def _consistent(self) -> BufferSettings:
        if self.max_groups < self.batch_groups:
            raise ValueError(
                f"max_groups {self.max_groups} cannot hold a batch of {self.batch_groups} groups: raise max_groups"
            )
        return self

    def check_epochs(self, epochs: int) -> None:
        """Raise `UserError` if batches of `learner.epochs` passes do not fit into `reuse.max_uses`."""
        batches = 2 if self.reused_per_batch else 1
        if batches * epochs > self.reuse.max_uses:
            again = f" and buffer.fresh_fraction {self.fresh_fraction} asks for reused groups" if batches == 2 else ""
            fix = ", or buffer.fresh_fraction to 1" if batches == 2 and epochs <= self.reuse.max_uses else ""
            raise UserError(
                f"buffer.reuse.max_uses {self.reuse.max_uses} is too small: a batch is learner.epochs {epochs} uses of "
                f"its groups{again}; set buffer.reuse.max_uses to at least {batches * epochs}{fix}"
            )
