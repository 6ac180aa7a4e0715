"""Does a folder of weights fit the architecture? Read from the headers of its files; no weights are loaded."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open

from buffer.errors import UserError
from models.motif2.configuration import Motif2Config
from models.motif2.modeling import Motif2ForCausalLM

Shapes = dict[str, tuple[int, ...]]

_NAMED = 5  # names in a message; of more, the number


def parameter_shapes(config: Motif2Config) -> Shapes:
    """Name and shape of every parameter, as a checkpoint must have them."""
    with torch.device("meta"):
        model = Motif2ForCausalLM(config)
    return {name: tuple(parameter.shape) for name, parameter in model.named_parameters()}


def stored_shapes(folder: Path) -> Shapes:
    """Name and shape of every tensor in the folder's safetensors files. UserError if there are none, or one is torn."""
    files = sorted(folder.glob("*.safetensors"))
    if not files:
        raise UserError(f"{folder} holds no *.safetensors")
    shapes: Shapes = {}
    for path in files:
        try:
            with safe_open(path, framework="pt") as tensors:
                shapes |= {name: tuple(tensors.get_slice(name).get_shape()) for name in tensors.keys()}  # noqa: SIM118
        except SafetensorError as error:
            raise UserError(f"{path} is no complete safetensors file: {error}") from error
    return shapes


def check_weights(folder: Path, config: Motif2Config | None = None) -> None:
    """Raises UserError that names missing and unexpected tensors and those of another shape than `config`, which is
    the folder's own if left out."""
    wanted = parameter_shapes(config or Motif2Config.from_pretrained(folder, local_files_only=True))
    found = stored_shapes(folder)
    other = [f"{n} is {found[n]} and not {wanted[n]}" for n in wanted if n in found and found[n] != wanted[n]]
    problems = {
        "missing": [name for name in wanted if name not in found],
        "unexpected": [name for name in found if name not in wanted],
        "of another shape": other,
    }
    told = [f"{len(names)} {what}: {_some(names)}" for what, names in problems.items() if names]
    if told:
        raise UserError(f"the weights in {folder} do not fit its Motif-2 configuration. {'. '.join(told)}")


def _some(names: Iterable[str]) -> str:
    names = list(names)
    return ", ".join(names[:_NAMED]) + (f" and {len(names) - _NAMED} more" if len(names) > _NAMED else "")
