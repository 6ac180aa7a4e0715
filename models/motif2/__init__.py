"""Motif-2: grouped differential attention and PolyNorm. Importing this package teaches transformers' Auto classes both.

configuration   the shapes and the published keys; the presets
attention       grouped differential attention as ordinary grouped-query attention of twice the head width
poly_norm       the activation of the MLP
rms_norm        the norm before every sub-layer and of every difference of heads
modeling        decoder, causal language model
tokenizer       the published tokenizer, checked, and a small one with the same conventions
build           a policy folder with random weights, for demo and tests
"""

from __future__ import annotations

from transformers import AutoConfig, AutoModel, AutoModelForCausalLM

from reprise.models.motif2.configuration import Motif2Config
from reprise.models.motif2.modeling import Motif2ForCausalLM, Motif2Model

# Importing transformers brings in torch, so nothing is saved by registering the model later than its configuration.
AutoConfig.register(Motif2Config.model_type, Motif2Config, exist_ok=True)
AutoModel.register(Motif2Config, Motif2Model, exist_ok=True)
AutoModelForCausalLM.register(Motif2Config, Motif2ForCausalLM, exist_ok=True)

# What is saved carries the modelling files, named in its config.json: see modeling.py.
Motif2Config.register_for_auto_class()  # type: ignore[no-untyped-call]
Motif2ForCausalLM.register_for_auto_class("AutoModelForCausalLM")  # type: ignore[no-untyped-call]

__all__ = ["Motif2Config", "Motif2ForCausalLM", "Motif2Model"]
