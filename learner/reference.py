"""The reference policy of the KL term: a frozen copy of the policy that RL starts from."""

from __future__ import annotations

from collections.abc import Sequence

import deepspeed

from buffer.types import Float32
from learner.engine import Engine
from learner.packing import Document
from learner.policy import Policy, load_model


class Reference:
    """Holds the engine's weights as they are now. Under ZeRO-3 the copy is sharded over the ranks too (collective)."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        sharded = engine.settings.zero_stage == 3
        model = load_model(engine.policy_dir, engine.dtype)
        for (_, current), parameter in zip(engine.named_weights(), model.parameters(), strict=True):
            parameter.data.copy_(current)
            parameter.requires_grad_(False)
        self._policy = Policy(model, engine.policy.temperature, engine.policy.attend)
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
