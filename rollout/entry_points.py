"""Is reprise installed, so that vLLM's processes find what it adds to them?"""

from __future__ import annotations

from importlib.metadata import entry_points

from reprise.core.errors import UserError
from reprise.rollout.engine import engine_class

GROUP = "vllm.general_plugins"
OURS = ("reprise", "reprise_motif2")


def check_entry_points() -> None:
    """Raises UserError if this environment's metadata lacks our entry points: a checkout on the path is not enough, and
    engines would start without our weight transfer and without Motif-2."""
    lacking = sorted({*OURS} - {entry.name for entry in entry_points(group=GROUP)})
    if lacking:
        raise UserError(
            f"reprise itself is not installed in this environment (no entry point {', '.join(lacking)} of {GROUP}), so "
            "that vLLM would know neither its weight transfer nor its models; in the checkout: pip install "
            "--no-build-isolation --no-deps -e ."
        )


def check_rollout_engine(use: str) -> None:
    """Refuse an engine that lacks a method; for vLLM, an environment whose processes would not find what is ours."""
    if use == "vllm":
        check_entry_points()  # and vLLM is not imported, which takes seconds
    else:
        engine_class(use)
