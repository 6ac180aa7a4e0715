"""What a run needs of the machine that starts it, beside CPUs, GPUs, memory and disk: shared memory, short paths."""

from __future__ import annotations

import os
import shutil
import socket
import tempfile
from pathlib import Path

from reprise.core.errors import UserError
from reprise.core.transport import transport_class
from reprise.launch.placement.nodes import Plan, local_nodes, on_a_cluster
from reprise.launch.recipe.schema import Recipe

SHM = Path("/dev/shm")
MIB = 2**20
# A queue of vLLM's from the engine to its workers (10 x 16 MiB) and one from each worker back (10 x 24 MiB). vLLM asks
# for all of one to be free when it makes it, and fills little.
_VLLM_QUEUE = 241 * MIB
# What is left of what Ray takes for itself, and small segments of libraries.
_SLACK = 8 * MIB
# Sockets have paths of at most 107 bytes. Ray's longest: <tmp>/ray/session_<date>_<pid>/sockets/plasma_store.
_SOCKET = 107
_RAYS = len("/ray/session_2026-11-29_21-57-14_606109_4194304/sockets/plasma_store")
_VLLMS = len("/00000000-0000-0000-0000-000000000000")


def shared_memory_needed(recipe: Recipe, weights: float) -> float:
    """Bytes of /dev/shm that a run takes beside Ray's object store, which makes do with less.

    weights   bytes of one copy of the policy, which the learner's host holds there for the engines
    """
    by_processes = not recipe.cluster.engine_gpus or recipe.rollout.engine.tensor_parallel > 1
    copy = weights * transport_class(recipe.weights.transport_path).shm_copies
    return copy + (_VLLM_QUEUE if by_processes else 0) + (_SLACK if copy or by_processes else 0)


def check_shared_memory(recipe: Recipe, plan: Plan, weights: float) -> None:
    """Refuse a /dev/shm of this machine that is too small; Docker's default of 64 MiB is. `weights` as above."""
    here = {local_nodes()[0].host, socket.gethostname()}
    if not SHM.is_dir() or all(plan.nodes[p.node].host not in here for p in plan.of("engine")):
        return
    needed, found = shared_memory_needed(recipe, weights), shutil.disk_usage(SHM)
    if found.free < needed:
        raise UserError(
            f"{SHM} has {found.free / MIB:.0f} of {found.total / MIB:.0f} MiB free, and the engines and the weights on "
            f"their way to them need {needed / MIB:.0f} MiB; make it larger: docker run --shm-size=2g (or --ipc=host), "
            f"elsewhere mount -o remount,size=2G {SHM}"
        )


def check_temporary_folder() -> None:
    """Refuse a TMPDIR in which the sockets of Ray and vLLM would have longer paths than sockets can have."""
    rays = os.environ.get("RAY_TMPDIR") or os.environ.get("TMPDIR") or "/tmp"
    places = [] if on_a_cluster() else [(Path(rays), _RAYS, "RAY_TMPDIR" if "RAY_TMPDIR" in os.environ else "TMPDIR")]
    for folder, longest, variable in [*places, (Path(tempfile.gettempdir()), _VLLMS, "TMPDIR")]:
        room = _SOCKET - longest
        if (length := len(os.fsencode(folder.absolute()))) > room:
            raise UserError(
                f"{variable} {folder}: its path has {length} bytes and may have {room}, for the sockets made in "
                f"it; set {variable} to a folder with a shorter path, such as /tmp"
            )


def check_port(port: int | None, plan: Plan) -> None:
    """Refuse a port for learner rank 0 that something else listens on, if that rank runs on the driver's machine."""
    if port is None or plan.nodes[plan.of("learner")[0].node].host != plan.nodes[0].host:
        return
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("", port))
        except OSError as error:
            raise UserError(
                f"cluster.learner_port {port} cannot be used ({error.strerror}); choose another, or null for a free one"
            ) from None
