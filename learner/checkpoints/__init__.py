"""Sharded checkpoints of a DeepSpeed engine: `Checkpointer` writes them, `load` reads them on any number of ranks.

Not DeepSpeed's own. Its converter to universal checkpoints (0.19.8) refuses an optimiser without AdamW's two moments
and, under ZeRO 1 and 2, a client that is not Megatron; its loader under ZeRO-3 gives every parameter group the first
one's weight decay and all of them one and the same step counter, which then counts once for each, without a word. What
is kept here is what a universal checkpoint keeps, fragments of float32 master weights and of optimiser state by
parameter, and a reader takes from them what its own layout needs: nothing is converted.
"""

from reprise.learner.checkpoints.checkpointer import Checkpointer
from reprise.learner.checkpoints.folder import latest, read_metadata, sweep
from reprise.learner.checkpoints.load import check_architecture, load
from reprise.learner.checkpoints.shards import weights

__all__ = ["Checkpointer", "check_architecture", "latest", "load", "read_metadata", "sweep", "weights"]
