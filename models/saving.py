"""Writing a policy as a Hugging Face folder."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from reprise.core.files import mode_of_new_files

if TYPE_CHECKING:
    import torch
    from transformers import PreTrainedConfig, PreTrainedModel, PreTrainedTokenizerBase


def save_policy(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    folder: Path,
    weights: dict[str, torch.Tensor] | None = None,
) -> None:
    """Write weights, configuration, generation config, tokenizer and chat template to `folder`.

    A model that transformers does not carry is written with its modelling files (`models/motif2/modeling.py`). A folder
    that a policy was read from may have had files of its own beside classes that transformers carries: they are not
    copied, so the configuration must not name them.

    weights  tensors by name, if other than the model's own
    """
    for described in (model.config, tokenizer):
        _forget_code(described)
    model.save_pretrained(folder, state_dict=weights)
    tokenizer.save_pretrained(folder)
    for file in Path(folder).glob("*.safetensors"):
        mode_of_new_files(file)


def _forget_code(described: PreTrainedConfig | PreTrainedTokenizerBase) -> None:
    vars(described).pop("auto_map", None)
    if isinstance(kept := getattr(described, "init_kwargs", None), dict):
        kept.pop("auto_map", None)
