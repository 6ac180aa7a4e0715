"""Activations and matrix FLOPs measured on the real code with fake tensors: nothing is computed, all is allocated.

`torch.distributed._tools.mem_tracker.MemTracker` follows what the model, the checkpointing policy and the chunked head
make under `FakeTensorMode`. Two and three layers are run; every further layer adds the difference. What a model runs on
CUDA only (fused norms) is measured as its plain version, which keeps rather more.
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass, fields
from types import SimpleNamespace
from typing import TYPE_CHECKING, TypeVar, cast

import torch
from torch._subclasses.fake_tensor import FakeTensorMode

from reprise.core.errors import UserError
from reprise.learner import activation_checkpointing as checkpointing
from reprise.learner.attention import Whole
from reprise.learner.logprobs import ROWS, VOCABULARY
from reprise.learner.planning.job import ModelShape, PlanInput, Shapes
from reprise.learner.planning.standins import SharedHeads, kernel_of
from reprise.learner.planning.tracking import Tracker
from reprise.learner.policy import Policy
from reprise.learner.rows import MicroBatch, RowLayout
from reprise.learner.settings import CheckpointingSettings

if TYPE_CHECKING:
    from transformers import PreTrainedConfig, PreTrainedModel

_TOKENS = 1024  # of a rank; a multiple of what tiled MLPs may be asked for
_VOCABULARY = 256  # of the measured stack: the head is measured by itself, the embedding is arithmetic


@dataclass(frozen=True, slots=True)
class Stack:
    """Bytes and FLOPs of some decoder layers over a rank's tokens.

    kept             held from the forward to the backward pass
    forward          most at any time of the forward pass, what is kept included
    backward         ... of the backward pass
    forward_flops    of matrix products in the forward pass
    backward_flops   ... in the backward pass, what is computed again included
    attentions       attention kernels run, forward ones, in both passes together
    """

    kept: int
    forward: int
    backward: int
    forward_flops: int
    backward_flops: int
    attentions: int


@dataclass(frozen=True, slots=True)
class Head:
    """Bytes of what follows the layers: hidden states picked, log-probabilities, entropies, and their gradients.

    kept      held from the forward to the backward pass
    peak      most at any time, forward and backward, what is kept included
    """

    kept: int
    peak: int


def measure_stack(job: PlanInput, policy: CheckpointingSettings, tokens: int, degree: int, layers: int) -> Stack:
    """`layers` decoder layers over `tokens` of a rank, run as the learner runs them.

    The row, shared by `degree` ranks, is one document.
    """
    kernel = kernel_of(job.engine.attention, job.on_gpu)
    attend = Whole(kernel) if degree == 1 else SharedHeads(kernel, degree)
    with FakeTensorMode(allow_non_fake_inputs=True), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model = Shapes(job.config, job.dtype).build(layers, _VOCABULARY)
        checkpointing.apply(model, policy)
        row = RowLayout([tokens * degree], torch.device("cpu"))
        ids, places = torch.zeros(1, tokens, dtype=torch.int64), torch.arange(tokens)[None]
        tracker = Tracker(model)
        with tracker:
            hidden = model.base_model(
                input_ids=ids, position_ids=places, use_cache=False, row=row, over=attend
            ).last_hidden_state
            kept = tracker.now()
            forward, forward_flops = tracker.take()
            hidden.backward(torch.empty_like(hidden))
            backward, backward_flops = tracker.take()
    return Stack(kept, forward, backward, forward_flops, backward_flops, tracker.attentions)


def measure_head(job: PlanInput, hidden_size: int, vocabulary: int, tokens: int) -> Head:
    """`learner.policy.Policy` after the layers, every token being a target."""
    dtype = getattr(torch, job.dtype)
    with FakeTensorMode(allow_non_fake_inputs=True):
        hidden = torch.empty(1, tokens, hidden_size, dtype=dtype, requires_grad=True)
        model = _HeadAlone(job.config, vocabulary, hidden)
        each = torch.zeros(tokens, dtype=torch.int64)
        batch = MicroBatch(
            each[None], each[None], each, each, each, slice(0, tokens), RowLayout([tokens], torch.device("cpu"))
        )
        tracker = Tracker(model)
        tracker.track_external(hidden, each)
        with tracker:
            logprobs, _entropies = Policy(cast("PreTrainedModel", model), 1.0, None)(
                batch, with_entropy=job.with_entropy
            )
            kept = tracker.now()
            logprobs.sum().backward()
            peak, _ = tracker.take()
    return Head(kept, peak)


class _HeadAlone(torch.nn.Module):
    """A causal LM whose layers have already run."""

    def __init__(self, config: PreTrainedConfig, vocabulary: int, hidden: torch.Tensor) -> None:
        super().__init__()
        self.config = config
        self.lm_head = torch.nn.Linear(hidden.shape[2], vocabulary, bias=False, dtype=hidden.dtype)
        self._hidden = hidden

    def base_model(self, **kwargs: object) -> SimpleNamespace:
        return SimpleNamespace(last_hidden_state=self._hidden)

    def get_output_embeddings(self) -> torch.nn.Module:
        return self.lm_head


# Measurements are functions of their keys: remembered while the process lives.
_stacks: dict[tuple[object, ...], Stack] = {}
_heads: dict[tuple[object, ...], Head] = {}


class Measured:
    """One job's measurements, extended to all layers and to any number of tokens.

    They depend on the job's model, dtype, kernel and device; not on ranks, ZeRO or offload.
    """

    def __init__(self, job: PlanInput) -> None:
        self._job = job
        self._key = (job.config.to_json_string(), job.dtype, job.engine.attention, job.on_gpu, job.with_entropy)
        self.shape: ModelShape = Shapes(job.config, job.dtype).counted

    def stack(self, policy: CheckpointingSettings, tokens: int, degree: int) -> Stack:
        """All layers over `tokens` of a rank, whose row is shared by `degree` ranks.

        Everything about a layer is a straight line in tokens (attention keeps no scores).
        """
        one, two = (self._all_layers(policy, n, degree) for n in (_TOKENS, 2 * _TOKENS))
        return _line(one, two, tokens / _TOKENS - 1)

    def _all_layers(self, policy: CheckpointingSettings, tokens: int, degree: int) -> Stack:
        count = self.shape.layers
        if count <= 3:
            return self._measured(policy, tokens, degree, count)
        # Not one and two: the most of a forward pass may be a layer's work on top of another's.
        return _line(self._measured(policy, tokens, degree, 2), self._measured(policy, tokens, degree, 3), count - 2)

    def _measured(self, policy: CheckpointingSettings, tokens: int, degree: int, layers: int) -> Stack:
        # Where offloaded tensors live is not measured but known: all that is kept.
        key = (*self._key, policy.policy, policy.mlp_tiles, tokens, degree, layers)
        if key not in _stacks:
            alone = policy.model_copy(update={"offload": False})
            try:
                _stacks[key] = measure_stack(self._job, alone, tokens, degree, layers)
            except UserError:
                raise
            except Exception as error:  # whatever a family's own code raises where tensors hold no numbers
                raise UserError(
                    f"the activations of model_type {self._job.config.model_type} cannot be measured: its code does "
                    f"not run on fake tensors ({str(error).partition(chr(10))[0]})"
                ) from error
        return _stacks[key]

    def head(self, tokens: int) -> Head:
        """Measured on the smallest matrix and row that are worked through in equal pieces, then a plane in both."""
        rows, columns = min(tokens, ROWS), min(self.shape.vocabulary, 2 * VOCABULARY)
        corner = self._measured_head(rows, columns)
        wider = taller = corner
        if self.shape.vocabulary > columns:
            further = (self.shape.vocabulary - columns) / VOCABULARY
            wider = _line(corner, self._measured_head(rows, columns + VOCABULARY), further)
        if tokens > rows:
            taller = _line(corner, self._measured_head(2 * rows, columns), tokens / rows - 1)
        return Head(*(getattr(wider, f) + getattr(taller, f) - getattr(corner, f) for f in Head.__slots__))

    def _measured_head(self, tokens: int, vocabulary: int) -> Head:
        key = (*self._key, tokens, vocabulary)
        if key not in _heads:
            _heads[key] = measure_head(self._job, self.shape.hidden, vocabulary, tokens)
        return _heads[key]


_Sizes = TypeVar("_Sizes", Stack, Head)


def _line(first: _Sizes, second: _Sizes, steps: float) -> _Sizes:
    """`first` and `steps` times the way from it to `second`, field by field."""
    pairs = ((getattr(first, f.name), getattr(second, f.name)) for f in fields(first))
    return type(first)(*(round(a + steps * (b - a)) for a, b in pairs))
