"""Layers and MLPs are found in any model, or it is said which cannot be."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import pytest
import torch
from transformers import PreTrainedConfig, PreTrainedModel

from reprise.core.errors import UserError
from reprise.learner import activation_checkpointing as checkpointing
from reprise.learner.settings import CheckpointingSettings


class Block(torch.nn.Module):
    def __init__(self, mlp: torch.nn.Module) -> None:
        super().__init__()
        self.feed_forward = mlp

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x + self.feed_forward(x)


class NamedBlock(Block):
    mlp_name = "feed_forward"


class Bare(PreTrainedModel):
    """Neither layers nor MLPs are named as in transformers; two lists are as long as there are layers."""

    config_class = PreTrainedConfig

    def __init__(self, block: Callable[..., torch.nn.Module], mlp: Callable[[], torch.nn.Module]) -> None:
        super().__init__(PreTrainedConfig())
        self.config.num_hidden_layers = 2
        self.tower: Any = torch.nn.ModuleDict({"blocks": torch.nn.ModuleList(block(mlp()) for _ in range(2))})
        self.other = torch.nn.ModuleList(torch.nn.Identity() for _ in range(2))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        for block in self.tower["blocks"]:
            x = block(x)
        return x


class NamedBare(Bare):
    decoder_layers = "tower.blocks"


def linear() -> torch.nn.Module:
    return torch.nn.Linear(4, 4)


def test_a_model_may_name_its_own_layers_and_mlps() -> None:
    torch.manual_seed(0)
    plain = NamedBare(NamedBlock, linear)
    wrapped = copy.deepcopy(plain)
    checkpointing.apply(wrapped, CheckpointingSettings(policy="block", mlp_tiles=2))
    x = torch.randn(3, 4)
    plain(x).square().sum().backward()
    wrapped(x).square().sum().backward()
    assert wrapped.tower["blocks"][0].forward.__func__ is not NamedBlock.forward
    for a, b in zip(wrapped.parameters(), plain.parameters()):
        torch.testing.assert_close(a.grad, b.grad)


class Two(torch.nn.Module):
    def forward(self, x: torch.Tensor, router: torch.Tensor) -> torch.Tensor:
        return x


@pytest.mark.parametrize(
    ("model", "chosen", "message"),
    [
        (
            lambda: Bare(Block, linear),
            CheckpointingSettings(policy="block"),
            r"found 2 lists of 2 layers in Bare.*decoder_layers = ",
        ),
        (
            lambda: NamedBare(Block, linear),
            CheckpointingSettings(policy="mlp"),
            r"Block has no MLP 'mlp' \(it has feed_forward\).*mlp_name",
        ),
        (
            lambda: NamedBare(NamedBlock, Two),
            CheckpointingSettings(mlp_tiles=2),
            r"Two takes \['x', 'router'\].*mlp_tiles 1",
        ),
    ],
)
def test_parts_that_cannot_be_found_or_tiled_are_said(
    model: Callable[[], PreTrainedModel], chosen: CheckpointingSettings, message: str
) -> None:
    with pytest.raises(UserError, match=message):
        checkpointing.apply(model(), chosen)


def test_a_wrong_path_of_layers_is_said() -> None:
    class Misnamed(Bare):
        decoder_layers = "tower.blcks"

    with pytest.raises(UserError, match=r"Misnamed\.decoder_layers: .*'tower\.blcks'"):
        checkpointing.apply(Misnamed(Block, linear), CheckpointingSettings(policy="block"))
