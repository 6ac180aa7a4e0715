"""The caller's own state in a checkpoint: JSON, with numpy arrays as their bytes."""

from __future__ import annotations

from base64 import b64decode, b64encode
from typing import Any

import numpy as np

_ARRAY = "__array__"

State = dict[str, Any]  # JSON values and numpy arrays


def encode(value: object) -> object:
    """What `decode` turns back, but for tuples, which become lists. Raises TypeError for what JSON cannot hold."""
    if isinstance(value, np.ndarray) and value.dtype != object:
        return {_ARRAY: [value.dtype.str, list(value.shape), b64encode(value.tobytes()).decode()]}
    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, dict):
        if not all(isinstance(key, str) and key != _ARRAY for key in value):
            raise TypeError(f"client_state: keys must be text other than {_ARRAY}, not {sorted(map(repr, value))[:3]}")
        return {key: encode(v) for key, v in value.items()}
    if isinstance(value, list | tuple):
        return [encode(v) for v in value]
    if value is None or isinstance(value, bool | int | float | str):
        return value
    raise TypeError(f"client_state: a {type(value).__name__} is neither JSON nor a numpy array")


def decode(value: object) -> object:
    if isinstance(value, dict):
        if _ARRAY in value:
            dtype, shape, text = value[_ARRAY]
            return np.frombuffer(bytearray(b64decode(text)), np.dtype(dtype)).reshape(shape)
        return {key: decode(v) for key, v in value.items()}
    return [decode(v) for v in value] if isinstance(value, list) else value
