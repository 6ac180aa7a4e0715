"""Sharded checkpoints of a DeepSpeed engine: `Checkpointer` writes them, `load` reads them on any number of ranks.

Not DeepSpeed's own: its converter to universal checkpoints (0.19.8) refuses an optimiser without AdamW's two moments,
wants metadata that no ZeRO-1/2 client without Megatron gives, and under ZeRO-3 loses the moments of all parameter
groups but the first, without a word. What is kept here is what its universal format keeps, fragments of float32 master
weights and optimiser state by parameter, and a reader takes from them what its own layout needs: nothing is converted.
"""

from learner.checkpoints.checkpointer import Checkpointer
from learner.checkpoints.folder import latest, read_metadata, sweep
from learner.checkpoints.load import check_architecture, load
from learner.checkpoints.shards import weights

__all__ = ["Checkpointer", "check_architecture", "latest", "load", "read_metadata", "sweep", "weights"]
