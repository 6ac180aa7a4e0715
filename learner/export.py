"""Saving the policy as a Hugging Face folder."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import torch
from transformers import AutoTokenizer

from reprise.learner.checkpoints import check_architecture
from reprise.learner.checkpoints import weights as masters
from reprise.learner.policy import load_model
from reprise.learner.train_engine import TrainEngine
from reprise.models.saving import save_policy

if TYPE_CHECKING:
    from transformers import PreTrainedModel


def export(engine: TrainEngine, folder: str | Path) -> None:
    """Write weights, configuration, tokenizer, chat template and generation config to `folder` (collective).

    Rank 0 writes; all ranks gather under ZeRO-3 and return when the folder is complete.
    """
    weights: dict[str, torch.Tensor] = {}
    for name, tensor in engine.named_weights():
        if engine.rank == 0:
            weights[name] = tensor.detach().to("cpu", copy=True).contiguous()
    if engine.rank == 0:
        _save(engine.model, weights, engine.policy_dir, folder)
    torch.distributed.barrier()


def export_checkpoint(checkpoint: str | Path, policy_dir: str | Path, dtype: str, folder: str | Path) -> None:
    """Write the policy of a checkpoint to `folder`; needs neither DeepSpeed's engine nor other ranks.

    policy_dir  the folder that the run began from: configuration, tokenizer and whatever was not trained
    dtype       float32 | bfloat16, of the weights written: the run's own gives the weights its engine held

    Raises UserError if the checkpoint is of another architecture.
    """
    model = load_model(policy_dir, dtype)
    named = {f"model.{name}": parameter for name, parameter in model.named_parameters()}
    check_architecture(checkpoint, {name: tuple(parameter.shape) for name, parameter in named.items()})
    weights = {
        name.removeprefix("model."): master.to(named[name].dtype).contiguous() for name, master in masters(checkpoint)
    }
    _save(model, weights, policy_dir, folder)


def _save(model: PreTrainedModel, weights: dict[str, torch.Tensor], policy_dir: str | Path, folder: str | Path) -> None:
    tokenizer = AutoTokenizer.from_pretrained(policy_dir, local_files_only=True, trust_remote_code=False)
    save_policy(model, tokenizer, Path(folder), weights)
