"""From the recipe's `policy` section to a Hugging Face folder that transformers and vLLM can both load."""

from __future__ import annotations

import inspect
import re
import textwrap
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from reprise.core.errors import UserError
from reprise.core.files import absence, dangling
from reprise.core.plugins import resolve
from reprise.models.architecture import check_architecture
from reprise.models.settings import PolicySettings

if TYPE_CHECKING:
    from transformers import PreTrainedConfig

_TOKENIZER_FILES = ("tokenizer.json", "tokenizer.model", "vocab.json")
_HUB_NAME = re.compile(r"[\w.-]+/[\w.-]+")
_SUFFIXES = (".json", ".safetensors", ".jinja", ".model", ".txt")


def missing_parts(folder: Path) -> list[str]:
    """What keeps `folder` from being loaded as a policy, in words; empty if nothing is missing."""
    if not folder.is_dir():
        return [f"the folder itself ({absence(folder)})" if dangling(folder) else "the folder itself"]
    # Folders of the hub's cache are all links, into a part of the cache that may have been cleared.
    if gone := [path for path in sorted(folder.iterdir()) if path.suffix in _SUFFIXES and dangling(path)]:
        return [f"{path.name} ({absence(path)})" for path in gone]
    missing = [name for name in ("config.json", "tokenizer_config.json") if not (folder / name).is_file()]
    if not any((folder / name).is_file() for name in _TOKENIZER_FILES):
        missing.append("a tokenizer (" + " or ".join(_TOKENIZER_FILES) + ")")
    if not any(folder.glob("*.safetensors")):
        missing.append("weights (*.safetensors)")
    return missing


def check_policy(settings: PolicySettings) -> None:
    """Raises UserError if `path` is no folder that `check_model_folder` accepts or `build` names nothing callable.
    Builds nothing."""
    if settings.path is not None:
        check_model_folder(Path(settings.path), "policy.path")
    else:
        _builder(settings)


def starts_random(settings: PolicySettings) -> bool:
    """Whether a run begins with random weights: those of a builder, unless it has an attribute `pretrained`."""
    return settings.build is not None and not getattr(_builder(settings), "pretrained", False)


def prepare_policy(settings: PolicySettings, out_dir: Path, seed: int) -> Path:
    """Returns the policy's Hugging Face folder: the one at `path`, or one that the builder makes in `out_dir`.

    Raises UserError as `check_model_folder` does, or naming what the builder cannot find.
    """
    if settings.path is not None:
        folder = Path(settings.path)
        check_model_folder(folder, "policy.path")
        return folder
    _builder(settings)(out_dir, seed, **settings.build_args)
    check_model_folder(out_dir, f"policy.build: {settings.build} was called, but")
    return out_dir


def check_model_folder(folder: Path, origin: str) -> None:
    """Raises UserError, beginning with `origin`, if the folder is incomplete, or if its weights do not fit it
    (`models.weights`)."""
    _check_parts(folder, origin)
    config = read_config(folder)
    if (quantised := getattr(config, "quantization_config", None)) is not None:
        method = quantised.get("quant_method") if isinstance(quantised, dict) else quantised.quant_method
        raise UserError(
            f"{origin}: {folder}/config.json has a quantization_config ({method}): quantised weights cannot be "
            "trained; give the model in float32 or bfloat16"
        )
    from reprise.models.weights import check_weights

    try:
        check_architecture(config)
        check_weights(folder, config)
    except UserError as error:
        raise UserError(f"{origin}: {error}") from error


def policy_config(settings: PolicySettings) -> PreTrainedConfig | None:
    """The policy's transformers configuration, from its folder or from its builder, without any weights.

    None if the builder cannot say: one that can has an attribute `config`, called as config(**build_args).
    """
    if settings.path is not None:
        return read_config(Path(settings.path))
    describe = getattr(_builder(settings), "config", None)
    if describe is None:
        return None
    try:
        described: PreTrainedConfig = describe(**settings.build_args)
        return described
    except UserError:
        raise
    except Exception as error:  # sizes that transformers refuses, and whatever else a builder makes of its arguments
        why = textwrap.shorten(str(error), 300, placeholder=" ...")
        raise UserError(
            f"policy.build_args: {settings.build} makes no configuration of them: {type(error).__name__}: {why}"
        ) from error


def read_config(folder: Path) -> PreTrainedConfig:
    """The transformers configuration in a folder. Raises UserError, in a line, if there is none or it is damaged."""
    from transformers import AutoConfig

    from reprise.models.motif2.configuration import (
        ConfigurationError,  # the package makes Motif-2 known to transformers
    )

    file = folder / "config.json"
    if not file.is_file():
        raise UserError(f"policy folder {folder} holds no config.json: give a Hugging Face model folder")
    try:
        # Else a folder with code of its own asks at the terminal whether to run it.
        config: PreTrainedConfig = AutoConfig.from_pretrained(folder, local_files_only=True, trust_remote_code=False)
        return config
    except ConfigurationError as error:  # of Motif-2, which says `config.json: ...`
        raise UserError(f"{folder}/{error}") from error
    except Exception as error:  # a damaged file makes the parsers raise anything, KeyError and TypeError included
        why = textwrap.shorten(str(error), 300, placeholder=" ...")
        raise UserError(f"{file} is not the configuration of a transformers model: {why}") from error


def _builder(settings: PolicySettings) -> Callable[..., Path]:
    build: Callable[..., Path] = resolve(str(settings.build), "policy.build")
    try:
        inspect.signature(build).bind(Path(), 0, **settings.build_args)
    except TypeError as error:
        raise UserError(
            f"policy.build_args: {settings.build}{inspect.signature(build)} does not fit: {error}"
        ) from error
    return build


def _check_parts(folder: Path, origin: str) -> None:
    try:
        missing = missing_parts(folder)
    except OSError as error:
        raise UserError(f"{origin}: {folder} cannot be read: {error.strerror}") from error
    if missing and not folder.exists() and _HUB_NAME.fullmatch(str(folder)):
        raise UserError(
            f"{origin}: there is no folder {folder}. Names of the Hugging Face hub are not fetched: "
            f"`hf download {folder} --local-dir {folder.name}`, and name that folder"
        )
    if missing:
        raise UserError(
            f"{origin}: {folder} lacks {', '.join(missing)}. Give a folder written by "
            "`save_pretrained` of a transformers model and of its tokenizer."
        )
