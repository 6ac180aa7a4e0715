"""Keeps libraries from writing over the progress display."""

from __future__ import annotations

import os


def quiet_libraries() -> None:
    """For the driver's process, before it imports them; actors' are quietened by `launch.actor_set.environment`."""
    os.environ.setdefault("TQDM_DISABLE", "1")  # bars of conversions; read when tqdm is imported, so before all else
    # transformers imports DeepSpeed where it is installed, and that warns of a missing GPU; the driver needs none.
    os.environ.setdefault("DS_ACCELERATOR", "cpu")
    from transformers.utils import logging

    logging.set_verbosity_error()
    logging.disable_progress_bar()
