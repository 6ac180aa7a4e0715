"""docs/models.md tells what comes out for every family of causal models that transformers carries."""

from __future__ import annotations

import families
import pytest
import transformers

# One of each kind: plain, with dropout, scaled, capped, a mixture of experts, latent attention, a window; refused by
# configuration, head, attention and measurement.
SAMPLE = (
    "qwen3",
    "gpt2",
    "granite",
    "hyperclovax",
    "nanochat",
    "mixtral",
    "deepseek_v3",
    "mistral",
    "qwen3_next",
    "phi",
    "bert",
    "falcon",
    "gpt_neox_japanese",
    "openai-gpt",
)


def test_the_page_tells_of_every_family_of_the_installed_transformers() -> None:
    assert set(families.told_of_families()) == set(families.FAMILIES)
    assert families.told().startswith(f"transformers {transformers.__version__}, {len(families.FAMILIES)} families")


@pytest.mark.parametrize("family", SAMPLE)
def test_the_page_tells_what_comes_out(family: str) -> None:
    assert families.survey(family) == families.told_of_families()[family]


@pytest.mark.full
@pytest.mark.timeout(900)
def test_the_page_is_what_all_families_give() -> None:
    assert families.table([families.survey(family) for family in families.FAMILIES]) == families.told()
