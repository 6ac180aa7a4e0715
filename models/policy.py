"""From the recipe's `policy` section to a Hugging Face folder that transformers and vLLM can both load."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from pathlib import Path
from typing import Any

from buffer.errors import UserError
from buffer.plugins import resolve
from models.settings import PolicySettings

_TOKENIZER_FILES = ("tokenizer.json", "tokenizer.model", "vocab.json")


def missing_parts(folder: Path) -> list[str]:
    """What keeps `folder` from being loaded as a policy, in words; empty if nothing is missing."""
    if not folder.is_dir():
        return ["the folder itself"]
    missing = [name for name in ("config.json", "tokenizer_config.json") if not (folder / name).is_file()]
    if not any((folder / name).is_file() for name in _TOKENIZER_FILES):
        missing.append("a tokenizer (" + " or ".join(_TOKENIZER_FILES) + ")")
    if not any(folder.glob("*.safetensors")):
        missing.append("weights (*.safetensors)")
    return missing


def check_policy(settings: PolicySettings) -> None:
    """Raises UserError if `path` is no complete model folder or `build` names nothing callable. Builds nothing."""
    if settings.path is not None:
        _check_folder(Path(settings.path), "policy.path")
    else:
        _builder(settings)


def prepare_policy(settings: PolicySettings, out_dir: Path, seed: int) -> Path:
    """Returns the policy's Hugging Face folder: the one at `path`, or one that the builder makes in `out_dir`.

    Raises UserError naming what a folder lacks, or what the builder cannot find.
    """
    if settings.path is not None:
        folder = Path(settings.path)
        _check_folder(folder, "policy.path")
        return folder
    _builder(settings)(out_dir, seed, **settings.build_args)
    _check_folder(out_dir, f"policy.build: {settings.build} was called, but")
    return out_dir


def policy_config(settings: PolicySettings) -> Any | None:
    """The policy's transformers configuration, from its folder or from its builder, without any weights.

    None if the builder cannot say: one that can has an attribute `config`, called as config(**build_args).
    """
    if settings.path is not None:
        _check_folder(Path(settings.path), "policy.path")
        from transformers import AutoConfig

        import models.motif2  # noqa: F401  registers what transformers does not carry

        try:
            return AutoConfig.from_pretrained(settings.path, local_files_only=True)
        except (OSError, ValueError, KeyError) as error:
            raise UserError(f"policy.path: {settings.path}/config.json cannot be read: {error}") from error
    describe = getattr(_builder(settings), "config", None)
    return None if describe is None else describe(**settings.build_args)


def _builder(settings: PolicySettings) -> Callable[..., Path]:
    build: Callable[..., Path] = resolve(str(settings.build), "policy.build")
    try:
        inspect.signature(build).bind(Path(), 0, **settings.build_args)
    except TypeError as error:
        raise UserError(
            f"policy.build_args: {settings.build}{inspect.signature(build)} does not fit: {error}"
        ) from error
    return build


def _check_folder(folder: Path, origin: str) -> None:
    missing = missing_parts(folder)
    if missing:
        raise UserError(
            f"{origin}: {folder} lacks {', '.join(missing)}. Give a folder written by "
            "`save_pretrained` of a transformers model and of its tokenizer."
        )
