"""The policies that a test publishes to a real engine, and the plain reference of their log-probabilities."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
from transformers import AutoModelForCausalLM

import reprise.models.motif2  # noqa: F401  so that the Auto classes know it
from reprise.core.types import Trajectory
from reprise.learner.publishing.control import EngineControl
from reprise.learner.publishing.publisher import Publisher
from reprise.learner.publishing.settings import PublishSettings

SMALL_BUCKETS = PublishSettings(bucket_mb=0.5)


def logprobs(model: torch.nn.Module, ids: np.ndarray, temperature: float) -> np.ndarray:
    """float64[len-1], with full logits: the plain reference."""
    with torch.no_grad():
        logits = model(torch.as_tensor(ids, dtype=torch.long)[None]).logits[0].double() / temperature
    table = torch.log_softmax(logits, -1)
    return table[torch.arange(len(ids) - 1), torch.as_tensor(ids[1:], dtype=torch.long)].numpy()


class Policies:
    """The policy at each version: random steps apart, so that a token of the wrong version is seen at once."""

    def __init__(self, folder: Path, control: EngineControl, settings: PublishSettings = SMALL_BUCKETS) -> None:
        self.model = AutoModelForCausalLM.from_pretrained(folder).float()
        self.at_version: dict[int, torch.nn.Module] = {}
        self.drop: str | None = None
        self.publisher = Publisher(
            settings,
            dtype="float32",
            module=self.model,
            weights=self._weights,
            logprobs=lambda ids: logprobs(self.model, np.asarray(ids), 1.0).astype(np.float32),
            control=control,
            rank=0,
            master_address="127.0.0.1",
            master_port=0,
            vocabulary_size=self.model.config.vocab_size,
            seed=0,
        )

    def _weights(self) -> Iterator[tuple[str, torch.Tensor]]:
        return ((name, p.detach()) for name, p in self.model.named_parameters())

    def publish(self, version: int) -> None:
        generator = torch.Generator().manual_seed(version)
        with torch.no_grad():
            for p in self.model.parameters():
                p.add_(0.3 * p.std() * torch.randn(p.shape, generator=generator) if p.dim() > 1 else 0.0)
        self.at_version[version] = copy.deepcopy(self.model)
        self.publisher.publish(version)

    def worst_error(self, trajectory: Trajectory, temperature: float) -> float:
        """Largest difference, nats, between recorded log-probabilities and those of each token's own version."""
        start = len(trajectory.prompt_ids) - 1
        sequence = np.concatenate([trajectory.prompt_ids, trajectory.response_ids])
        worst = 0.0
        for version in np.unique(trajectory.versions):
            ours = logprobs(self.at_version[int(version)], sequence, temperature)[start:]
            of_version = trajectory.versions == version
            worst = max(worst, np.abs(ours - trajectory.behaviour_logprobs)[of_version].max())
        return float(worst)
