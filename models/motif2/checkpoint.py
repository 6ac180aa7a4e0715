"""Does a folder of weights fit the architecture? Read from the headers of its files; no weights are loaded."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open

from buffer.errors import UserError
from models.motif2.configuration import Motif2Config
from models.motif2.modeling import Motif2ForCausalLM

Shapes = dict[str, tuple[int, ...]]

# The files that transformers looks for, in this order.
_WEIGHTS, _INDEX = "model.safetensors", "model.safetensors.index.json"


def parameter_shapes(config: Motif2Config) -> Shapes:
    """Name and shape of every parameter, as a checkpoint must have them."""
    with torch.device("meta"):
        model = Motif2ForCausalLM(config)
    return {name: tuple(parameter.shape) for name, parameter in model.named_parameters()}


def stored_shapes(folder: Path) -> Shapes:
    """Name and shape of every tensor in the files that `weight_files` gives. UserError if one of them is torn."""
    shapes: Shapes = {}
    for path in weight_files(folder):
        try:
            with safe_open(path, framework="pt") as tensors:
                shapes |= {name: tuple(tensors.get_slice(name).get_shape()) for name in tensors.keys()}  # noqa: SIM118
        except SafetensorError as error:
            raise UserError(f"{path} is no complete safetensors file: {error}") from error
    return shapes


def weight_files(folder: Path) -> list[Path]:
    """The files that transformers reads weights from: one, or those that an index names. UserError if one is not there;
    others in the folder count for nothing."""
    if (folder / _WEIGHTS).is_file():
        return [folder / _WEIGHTS]
    index = folder / _INDEX
    if not index.is_file():
        raise UserError(f"{folder} holds no {_WEIGHTS} and no {_INDEX}")
    try:
        files = sorted({folder / str(name) for name in json.loads(index.read_text("utf-8"))["weight_map"].values()})
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise UserError(f"{index} is no index of safetensors files: {error!r}") from error
    absent = [path.name for path in files if not path.is_file()]
    if absent:
        raise UserError(f"{index} names {', '.join(absent)}, not in the folder; is the download complete?")
    return files


def check_weights(folder: Path, config: Motif2Config | None = None) -> None:
    """Raises UserError that names every missing and unexpected tensor and each of another shape than `config`, which
    is the folder's own if left out. Layers that have the same to say share a name, as `folded` writes it."""
    wanted = parameter_shapes(config or Motif2Config.from_pretrained(folder, local_files_only=True))
    found = stored_shapes(folder)
    missing = [name for name in wanted if name not in found]
    unexpected = [name for name in found if name not in wanted]
    other: dict[str, list[str]] = {}
    for name in wanted:
        if name in found and found[name] != wanted[name]:
            other.setdefault(f"{found[name]} and not {wanted[name]}", []).append(name)
    reshaped = [f"{name} is {shapes}" for shapes, names in other.items() for name in folded(names)]
    problems = [
        (len(missing), "missing", folded(missing)),
        (len(unexpected), "unexpected", folded(unexpected)),
        (sum(map(len, other.values())), "of another shape", reshaped),
    ]
    told = [f"{count} {what}: {', '.join(names)}" for count, what, names in problems if count]
    if told:
        raise UserError(f"the weights in {folder} do not fit its Motif-2 configuration. {'. '.join(told)}")


def folded(names: Iterable[str]) -> list[str]:
    """The names, those that differ by a number alone drawn together: `model.layers.{0-5,9}.mlp.up_proj.weight`."""
    parts = [tuple(name.split(".")) for name in names]
    for place in reversed(range(max(map(len, parts), default=0))):
        alike: dict[tuple[str, ...], list[int]] = {}
        for name in parts:
            if place < len(name) and name[place].isdecimal():
                alike.setdefault((*name[:place], "#", *name[place + 1 :]), []).append(int(name[place]))
            else:
                alike[name] = []
        parts = [
            (*name[:place], _ranges(numbers), *name[place + 1 :]) if numbers else name
            for name, numbers in alike.items()
        ]
    return [".".join(name) for name in parts]


def _ranges(numbers: list[int]) -> str:
    """`7` of [7], `{0-2,7}` of [0, 1, 2, 7]."""
    runs: list[list[int]] = []
    for number in sorted(numbers):
        if runs and number == runs[-1][-1] + 1:
            runs[-1].append(number)
        else:
            runs.append([number])
    told = ",".join(str(run[0]) if len(run) == 1 else f"{run[0]}-{run[-1]}" for run in runs)
    return told if len(numbers) == 1 else f"{{{told}}}"
