"""What a train engine is: one rank that holds the policy, computes log-probabilities and steps the optimiser.

RL (learner/learner.py), SFT (learner/sft.py), publishing and export talk to `TrainEngine`; DeepSpeed is behind one
implementation of it (learner/engine.py). No Ray.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import numpy as np
import torch

from reprise.core.types import Float32, Int32
from reprise.learner.checkpoints.client_state import State
from reprise.learner.packing import Document
from reprise.learner.sequence_parallel import SumOverRanks
from reprise.learner.settings import SaveSettings, TrainEngineSettings

if TYPE_CHECKING:
    from transformers import PreTrainedModel


@dataclass(frozen=True, slots=True)
class Share:
    """What a rank holds of a micro-batch, to pick its tokens' values from arrays kept by document.

    indices    the documents of the row, as numbers in the batch
    held       which of the row's targets, document by document, are this rank's
    documents  int64[m]: the document (0..B-1 of `indices`) of each
    across     differentiable sum over the ranks that share the row
    """

    indices: list[int]
    held: slice
    documents: torch.Tensor
    across: SumOverRanks

    def of(self, arrays: Sequence[np.ndarray]) -> torch.Tensor:
        """[m] of this rank, from one array for each document of the row over all its targets."""
        joined = np.concatenate(arrays) if arrays else np.zeros(0, np.float32)
        return torch.from_numpy(joined[self.held]).to(self.documents.device)


# Given this rank's share of a micro-batch, log-probabilities and entropies of its targets: the loss, summed.
LossOf = Callable[[Share, torch.Tensor, torch.Tensor | None], torch.Tensor]


@dataclass(frozen=True, slots=True)
class OptimizerStep:
    """What one optimiser step did. `grad_norm` is the global norm before clipping; infinite if the step was skipped.

    padding    share of computed tokens that is padding
    imbalance  FLOPs of the most loaded data-parallel rank over the mean, minus 1
    """

    applied: bool
    grad_norm: float
    lr: float
    tokens: int
    padding: float
    imbalance: float


class FrozenPolicy(Protocol):
    """A policy that is not trained, held beside the one that is."""

    def logprobs(self, documents: Sequence[Document]) -> list[Float32]:
        """Log-probabilities of every document's targets, float32, nats, the same on every rank (collective)."""
        ...


class TrainEngine(Protocol):
    """A rank that holds the policy being trained.

    Every rank is given the same global batch and trains on its own share of it. All methods are collective.

    rank, world_size  of the ranks that train together; `settings` says how they share rows
    device            where losses are computed
    dtype             float32 | bfloat16, of the weights that are published
    policy_dir        Hugging Face folder the weights came from
    model             the policy; under ZeRO-3 its parameters are empty shells: weights come from `named_weights`
    optimizer_steps   taken so far
    """

    settings: TrainEngineSettings
    rank: int
    world_size: int
    device: torch.device
    dtype: str
    policy_dir: Path
    optimizer_steps: int

    @property
    def model(self) -> PreTrainedModel: ...

    # ---- training ----------------------------------------------------------------------------------------------------

    def optimizer_step(
        self,
        documents: Sequence[Document],
        lr: float,
        loss_of: LossOf,
        normaliser: float | None = None,
        with_entropy: bool = False,
    ) -> OptimizerStep:
        """One optimiser step on the sum of `loss_of` over all documents of all ranks, divided by `normaliser`.

        The normaliser is the number of all targets if not given. Raises `TrainingStuck` on every rank when
        `settings.max_skipped` steps in a row were skipped.
        """
        ...

    def begin_stage(self, settings: TrainEngineSettings) -> None:
        """Train on as if training began here: no moments, no steps, and the `STAGE_KEYS` of these settings."""
        ...

    # ---- log-probabilities and weights -------------------------------------------------------------------------------

    def logprobs(self, sequences: Sequence[tuple[Int32, Int32]], temperature: float | None = None) -> list[Float32]:
        """For each (prompt_ids, response_ids): float32[R], nats, of the response tokens.

        At `temperature`, the policy's if None.
        """
        ...

    def document_logprobs(self, documents: Sequence[Document]) -> list[Float32]:
        """Log-probabilities of every document's targets, float32, nats, the same on every rank."""
        ...

    def frozen(self, folder: Path) -> FrozenPolicy:
        """The policy of a Hugging Face folder, held beside this one for as long as the engine."""
        ...

    def named_weights(self) -> Iterator[tuple[str, torch.Tensor]]:
        """(Hugging Face name, full tensor) of every parameter, tied ones once.

        A tensor may be valid only until the next is reached: all ranks iterate to the end.
        """
        ...

    # ---- between ranks -----------------------------------------------------------------------------------------------

    def sum_over_ranks(self, values: torch.Tensor) -> torch.Tensor:
        """The sum of all ranks' values, element by element."""
        ...

    def max_over_ranks(self, values: torch.Tensor) -> torch.Tensor:
        """The largest of all ranks' values, element by element."""
        ...

    # ---- checkpoints -------------------------------------------------------------------------------------------------

    def keep_checkpoints(self, folder: Path, settings: SaveSettings) -> None:
        """Be ready to `save` into `folder`, which all ranks see."""
        ...

    def save(self, step: int, state: Mapping[str, object]) -> None:
        """Begin the checkpoint of this step: weights, optimiser, random states and rank 0's `state`."""
        ...

    def saved(self) -> None:
        """Return when the last checkpoint is complete; RunError if it will not be."""
        ...

    def load(self, path: Path) -> State:
        """Go on from a checkpoint; the `state` that was saved with it."""
        ...

    def close(self) -> None:
        """Complete what is being written, and free what is held."""
        ...
