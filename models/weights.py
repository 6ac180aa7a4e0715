"""The weights in a policy's folder: are they whole, and do they fit its configuration? No weights are loaded."""

from __future__ import annotations

import json
import logging
import textwrap
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from reprise.core.errors import UserError
from reprise.core.files import absence

if TYPE_CHECKING:
    from transformers import PreTrainedConfig

Shapes = dict[str, tuple[int, ...]]

# The files that transformers looks for, in this order.
_WEIGHTS, _INDEX = "model.safetensors", "model.safetensors.index.json"


def tensor_shapes(folder: Path) -> Shapes:
    """Name and shape of every tensor in the files that `weight_files` gives, from their headers. UserError if one of
    them is damaged or cut short."""
    from safetensors import SafetensorError, safe_open

    shapes: Shapes = {}
    for path in weight_files(folder):
        try:
            path.open("rb").close()  # safetensors takes a file that may not be read for one that is not there
            with safe_open(path, framework="np") as tensors:  # compares the length of the file with its header
                shapes |= {name: tuple(tensors.get_slice(name).get_shape()) for name in tensors.keys()}  # noqa: SIM118
        except (OSError, SafetensorError) as error:
            raise UserError(
                f"{path} is not a readable safetensors file ({error}); is the download complete?"
            ) from error
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
    absent = [path for path in files if not path.is_file()]
    if absent:
        names = ", ".join(path.name for path in absent)
        raise UserError(f"{index} names {names}: {absence(absent[0])}; is the download complete?")
    return files


def check_weights(folder: Path, config: PreTrainedConfig) -> None:
    """Raises UserError that names every missing and unexpected tensor and each of another shape than `config`.

    transformers would start from random numbers in place of missing tensors, and leave out unexpected ones, and say so
    in its log only. It is asked itself, with all tensors on the device that holds nothing, because it knows which
    names it converts and ties. Layers that have the same to say share a name, as `folded` writes it.
    """
    found = tensor_shapes(folder)
    from transformers import AutoModelForCausalLM

    try:
        with _quiet():
            loaded: Any = AutoModelForCausalLM.from_pretrained(
                folder,
                config=config,
                device_map="meta",
                output_loading_info=True,
                ignore_mismatched_sizes=True,
                local_files_only=True,
                trust_remote_code=False,
            )
    except Exception as error:  # whatever a model's own code raises
        why = textwrap.shorten(str(error), 300, placeholder=" ...")
        raise UserError(f"transformers cannot load the model in {folder}: {why}") from error
    model, report = loaded
    order = {name: i for i, name in enumerate([*model.state_dict(), *found])}

    def sorted_names(names: Iterable[str]) -> list[str]:
        return sorted(names, key=lambda name: (order.get(name, len(order)), name))

    other: dict[str, list[str]] = {}
    shapes = {name: (tuple(there), tuple(wanted)) for name, there, wanted in report["mismatched_keys"]}
    for name in sorted_names(shapes):
        other.setdefault(f"{shapes[name][0]} and not {shapes[name][1]}", []).append(name)
    reshaped = [f"{name} is {shape}" for shape, names in other.items() for name in folded(names)]
    problems = [
        (len(report["missing_keys"]), "missing", folded(sorted_names(report["missing_keys"]))),
        (len(report["unexpected_keys"]), "unexpected", folded(sorted_names(report["unexpected_keys"]))),
        (len(shapes), "of another shape", reshaped),
    ]
    if said := [f"{count} {what}: {', '.join(names)}" for count, what, names in problems if count]:
        raise UserError(f"the weights in {folder} do not fit its configuration. {'. '.join(said)}")


@contextmanager
def _quiet() -> Iterator[None]:
    """Without transformers' report of what was missing, which is an error here."""
    from transformers.utils import logging as library

    level, bar = library.get_verbosity(), library.is_progress_bar_enabled()
    library.set_verbosity(logging.CRITICAL)
    library.disable_progress_bar()
    try:
        yield
    finally:
        library.set_verbosity(level)
        if bar:
            library.enable_progress_bar()


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
    joined = ",".join(str(run[0]) if len(run) == 1 else f"{run[0]}-{run[-1]}" for run in runs)
    return joined if len(numbers) == 1 else f"{{{joined}}}"
