"""Saving the policy as a Hugging Face folder."""

from __future__ import annotations

from pathlib import Path

import torch
from transformers import AutoTokenizer

from learner.engine import Engine


def export(engine: Engine, folder: str | Path) -> None:
    """Write weights, configuration, tokenizer, chat template and generation config to `folder` (collective).

    Rank 0 writes; all ranks gather under ZeRO-3 and return when the folder is complete.
    """
    weights: dict[str, torch.Tensor] = {}
    for name, tensor in engine.named_weights():
        if engine.rank == 0:
            weights[name] = tensor.detach().to("cpu", copy=True).contiguous()
    if engine.rank == 0:
        engine.policy.model.save_pretrained(folder, state_dict=weights)
        AutoTokenizer.from_pretrained(engine.policy_dir, local_files_only=True).save_pretrained(folder)
    torch.distributed.barrier()
