"""What is planned: a model's shape and how the engine will hold it."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import torch
from transformers import AutoModelForCausalLM

from reprise.learner import attention
from reprise.learner.activation_checkpointing.parts import decoder_layers
from reprise.learner.packing import row_length
from reprise.learner.settings import TrainEngineSettings

if TYPE_CHECKING:
    from transformers import PreTrainedConfig

WIDTHS = {"float32": 4, "bfloat16": 2}


@dataclass(frozen=True, slots=True)
class ModelShape:
    """Numbers of elements, counted on a model without storage; tied weights count once.

    parameters       all of them
    layers, layer    decoder layers, and the elements of one
    layer_matrices   elements of all layers' matrices: what Muon orthogonalises
    embedding, head  the two vocabulary matrices; `head` is 0 where it is the embedding itself
    sizes            each parameter's elements
    hidden           width of the hidden states
    vocabulary       rows of the head
    """

    parameters: int
    layers: int
    layer: int
    layer_matrices: int
    embedding: int
    head: int
    sizes: tuple[int, ...]
    hidden: int
    vocabulary: int

    @property
    def output(self) -> int:
        """Elements of the matrix that makes logits."""
        return self.head or self.embedding

    @property
    def dense(self) -> int:
        """Elements of the matrices that every token is multiplied by."""
        return self.layer_matrices + self.output

    def up_to(self, threshold: int) -> int:
        """Elements of the parameters that have at most `threshold`."""
        return sum(n for n in self.sizes if n <= threshold)


@dataclass(frozen=True, slots=True)
class PlanInput:
    """One learner rank's work, from an RL or an SFT recipe.

    config          a transformers configuration
    dtype           of the weights: float32 | bfloat16 (the optimiser's are float32)
    row_tokens      tokens of a full row; sequence-parallel ranks share it
    with_entropy    the entropy is computed beside every log-probability (RL)
    reference       a frozen reference policy is held too
    extra_forwards  forward passes without gradient for each trained token (proximal, reference)
    on_gpu          False: ranks live in host memory
    fixed_bytes     what a rank takes without a model: assumed on a GPU, `cluster.process_memory_gb` on CPU
    """

    config: PreTrainedConfig
    engine: TrainEngineSettings
    dtype: str
    row_tokens: int
    with_entropy: bool = False
    reference: bool = False
    extra_forwards: float = 0.0
    on_gpu: bool = True
    fixed_bytes: int = 0

    @property
    def width(self) -> int:
        """Bytes of one weight."""
        return WIDTHS[self.dtype]

    @property
    def local_tokens(self) -> int:
        """Tokens of a rank's share of a full row."""
        degree = self.engine.sequence_parallel
        return row_length([self.row_tokens], degree) // degree


class Shapes:
    """Builds the model of a configuration with a few layers, anywhere: on `meta` to count it, fake to measure it."""

    def __init__(self, config: PreTrainedConfig, dtype: str) -> None:
        self._config, self._dtype = config, getattr(torch, dtype)

    def build(self, layers: int, vocabulary: int | None = None) -> Any:
        """A causal LM in training mode, on the current device, with the learner's attention."""
        config = copy.deepcopy(self._config)
        text = config.get_text_config()
        if vocabulary is not None:
            text.vocab_size = vocabulary
            text.pad_token_id = None  # may lie outside
        full = text.num_hidden_layers
        text.num_hidden_layers = layers
        for name, value in list(vars(text).items()):  # such as layer_types
            if isinstance(value, Sequence) and not isinstance(value, str) and len(value) == full and full > 1:
                setattr(text, name, value[:layers])
        model = AutoModelForCausalLM.from_config(config, dtype=self._dtype, attn_implementation=attention.NAME)
        model.config.use_cache = False
        return model.train()

    @cached_property
    def counted(self) -> ModelShape:
        text = self._config.get_text_config()
        with torch.device("meta"):
            model = self.build(text.num_hidden_layers)
        layers = decoder_layers(model)
        embedding, head = model.get_input_embeddings().weight, model.get_output_embeddings().weight
        matrices = [p.numel() for layer in layers for p in layer.parameters() if p.ndim == 2]
        return ModelShape(
            parameters=sum(p.numel() for p in model.parameters()),
            layers=len(layers),
            layer=max(sum(p.numel() for p in layer.parameters()) for layer in layers),
            layer_matrices=sum(matrices),
            embedding=embedding.numel(),
            head=0 if head is embedding else head.numel(),
            sizes=tuple(p.numel() for p in model.parameters()),
            hidden=text.hidden_size,
            vocabulary=head.shape[0],
        )
