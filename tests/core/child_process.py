"""The inside of a process that a test starts."""

from __future__ import annotations

import json
import socket


def main(fd: int, **arguments: str) -> None:
    """Send the arguments back."""
    with socket.socket(fileno=fd) as channel:
        channel.send(json.dumps(arguments | {"argument": True}).encode())
