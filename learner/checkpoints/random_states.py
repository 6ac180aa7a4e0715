"""The random states of a process, as JSON: torch's on the CPU and on its GPU, numpy's and Python's own."""

from __future__ import annotations

import random
from base64 import b64decode, b64encode
from typing import NotRequired, TypedDict

import numpy as np
import torch


class States(TypedDict):
    """By whose generator it is."""

    torch: str
    numpy: tuple[str, list[int], int, int, float]
    python: tuple[int, list[int], float | None]
    cuda: NotRequired[str]


def capture() -> States:
    name, keys, position, has_gauss, gauss = np.random.get_state(legacy=True)
    version, internal, gauss_next = random.getstate()
    states: States = {
        "torch": _text(torch.get_rng_state()),
        "numpy": (name, [int(k) for k in keys], int(position), int(has_gauss), float(gauss)),
        "python": (version, list(internal), gauss_next),
    }
    if torch.cuda.is_available():
        states["cuda"] = _text(torch.cuda.get_rng_state())
    return states


def restore(states: States) -> None:
    torch.set_rng_state(_tensor(states["torch"]))
    name, keys, position, has_gauss, gauss = states["numpy"]
    np.random.set_state((name, np.array(keys, np.uint32), position, has_gauss, gauss))
    version, internal, gauss_next = states["python"]
    random.setstate((version, tuple(internal), gauss_next))
    if "cuda" in states and torch.cuda.is_available():
        torch.cuda.set_rng_state(_tensor(states["cuda"]))


def _text(state: torch.Tensor) -> str:
    return b64encode(state.numpy().tobytes()).decode()


def _tensor(text: str) -> torch.Tensor:
    return torch.frombuffer(bytearray(b64decode(text)), dtype=torch.uint8)
