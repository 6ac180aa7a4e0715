"""Saving the policy as a Hugging Face folder."""

from __future__ import annotations

from pathlib import Path

import torch
from transformers import AutoTokenizer

from learner.learner import Learner


def export(learner: Learner, folder: str | Path) -> None:
    """Write weights, configuration, tokenizer, chat template and generation config to `folder` (collective).

    Rank 0 writes; all ranks gather under ZeRO-3 and return when the folder is complete.
    """
    weights: dict[str, torch.Tensor] = {}
    for name, tensor in learner.named_weights():
        if learner.rank == 0:
            weights[name] = tensor.detach().to("cpu", copy=True).contiguous()
    if learner.rank == 0:
        learner.policy.model.save_pretrained(folder, state_dict=weights)
        AutoTokenizer.from_pretrained(learner.policy_dir, local_files_only=True).save_pretrained(folder)
    torch.distributed.barrier()
