"""What must be true of the node that an actor is placed on."""

from __future__ import annotations

import socket
from pathlib import Path

from reprise.core.errors import UserError


def check_sees_policy(policy_dir: Path) -> None:
    """UserError if this node does not see the policy's folder, which the driver does."""
    if not (policy_dir / "config.json").is_file():
        raise UserError(
            f"node {socket.gethostname()} does not see the policy's folder {policy_dir} (no config.json there); every "
            "node needs it at this path: for a policy that the run builds, set runs_dir to a folder that all nodes "
            "share, else policy.path"
        )
