"""What an engine's settings leave open is decided by what it runs on."""

from __future__ import annotations

import pytest

from reprise.rollout.settings import VllmEngineSettings


@pytest.mark.parametrize(
    ("settings", "gpus", "eager", "batched"),
    [
        ({}, False, True, None),
        ({}, True, False, 8192),
        ({"max_num_seqs": 10_000}, True, False, 10_000),  # each decodes one token a step
        ({"enforce_eager": True, "max_num_batched_tokens": 2048}, True, True, 2048),
        ({"enforce_eager": False, "max_num_batched_tokens": 512}, False, False, 512),
    ],
)
def test_graphs_and_large_steps_are_for_gpus_unless_the_recipe_says_so(
    settings: dict, gpus: bool, eager: bool, batched: int | None
) -> None:
    made = VllmEngineSettings(**settings).on(gpus)
    assert (made.enforce_eager, made.max_num_batched_tokens) == (eager, batched)
