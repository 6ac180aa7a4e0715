"""The reference policy of the KL term: a frozen copy of the policy that RL starts from."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import deepspeed

from reprise.core.types import Float32
from reprise.learner.packing import Document
from reprise.learner.policy import Policy, load_model

if TYPE_CHECKING:
    from reprise.learner.engine import Engine


class Reference:
    """Holds the policy of a Hugging Face folder. Under ZeRO-3 it is sharded over the ranks too (collective)."""

    def __init__(self, engine: Engine, folder: Path) -> None:
        self._engine = engine
        sharded = engine.settings.zero_stage == 3
        model = load_model(folder, engine.dtype).requires_grad_(False)
        self._policy = Policy(model, engine.policy.temperature, engine.policy.attend, engine.policy.head)
        self._module = self._policy.to(engine.device)
        if sharded:
            self._module, *_ = deepspeed.initialize(
                model=self._policy,
                config={
                    "train_micro_batch_size_per_gpu": 1,
                    "zero_optimization": {"stage": 3},
                    "bf16": {"enabled": engine.dtype == "bfloat16"},
                    "steps_per_print": 2**31,
                },
            )
            self._policy.share_head()

    def logprobs(self, documents: Sequence[Document]) -> list[Float32]:
        """log pi_ref of every document's targets, float32, nats, the same on every rank (collective)."""
        return self._engine.document_logprobs(documents, self._module)
