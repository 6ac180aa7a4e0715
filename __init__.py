"""reprise: reinforcement-learning post-training of reasoning models with verifiable rewards.

from reprise import Answer, Task, Verdict, Verifier, train
"""

from __future__ import annotations

import importlib
from importlib.metadata import PackageNotFoundError, version
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from reprise.core.types import Task, Verdict
    from reprise.launch.training.rl import train
    from reprise.rewards.base import Answer, Verifier

__all__ = ["Answer", "Task", "Verdict", "Verifier", "__version__", "train"]

try:
    __version__ = version("reprise-rl")
except PackageNotFoundError:  # a checkout that is not installed
    __version__ = "0"

# Imported when asked for: a program that only wants to write a verifier waits neither for torch nor for Ray.
_HOMES = {
    "Answer": "reprise.rewards.base",
    "Task": "reprise.core.types",
    "Verdict": "reprise.core.types",
    "Verifier": "reprise.rewards.base",
    "train": "reprise.launch.training.rl",
}


def __getattr__(name: str) -> object:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(_HOMES[name]), name)
