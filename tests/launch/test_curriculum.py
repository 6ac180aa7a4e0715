"""Stages laid end to end, and what a supervised recipe may not say."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from reprise.core.errors import UserError
from reprise.data.sft.loading import load_sources
from reprise.data.sft.rendering import ConversationCodec
from reprise.data.sft.settings import SftSource
from reprise.launch.curriculum import Curriculum, SftBatch, Stage
from reprise.launch.recipe.loading import load_as
from reprise.launch.recipe.sft_schema import SftRecipe, StageSettings
from reprise.models import tiny

ROOT = Path(__file__).resolve().parents[2]
DEMO = ROOT / "recipes" / "demo_sft.yaml"


def source(name: str, count: int, weight: Any = 1.0) -> dict[str, Any]:
    args = {
        "seed": 1, "count": count, "domain": name, "split": "train", "styles": {"clean": 1.0}, "error_rate": 0.0,
        "sizes": {"digits": [1, 4]} if name == "addition" else {"letters": [3, 8]},
    }  # fmt: skip
    generator = "reprise.data.demo.conversations:conversations"
    return {"name": name, "generator": generator, "args": args, "weight": weight}


def stage(name: str, sources: list[dict[str, Any]], **settings: Any) -> StageSettings:
    given = {"context": 128, "batch_size": 4, "lr": 1.0, "schedule": "constant"} | settings
    return StageSettings(name=name, sources=[SftSource(**s) for s in sources], **given)


@pytest.fixture(scope="module")
def stages(tmp_path_factory: pytest.TempPathFactory) -> list[Stage]:
    codec = ConversationCodec(tiny.build(tmp_path_factory.mktemp("policy"), 0, width=32, layers=1))
    chosen = [
        stage("one", [source("addition", 30)], steps=7, schedule="linear", warmup_steps=2),
        stage("two", [source("addition", 30, {"from": 0, "to": 1}), source("reverse", 10)], epochs=1.0),
    ]
    return [Stage.of(s, load_sources(s.sources, codec, s.largest_context)) for s in chosen]


def same(a: Sequence[SftBatch], b: Sequence[SftBatch]) -> bool:
    return len(a) == len(b) and all(
        (x.step, x.stage, x.lr, x.ends_stage) == (y.step, y.stage, y.lr, y.ends_stage)
        and all(np.array_equal(d.tokens, e.tokens) for d, e in zip(x.documents, y.documents, strict=True))
        for x, y in zip(a, b)
    )


def test_stages_follow_one_another_each_with_its_own_rate_and_length(stages: list[Stage]) -> None:
    curriculum = Curriculum(stages, seed=0)
    batches = list(curriculum)
    assert curriculum.total == len(batches) == 7 + 10  # an epoch of 40 conversations, 4 a step
    assert [b.step for b in batches] == list(range(1, 18))
    assert [b.step for b in batches if b.ends_stage] == [7, 17]
    assert [round(b.lr, 3) for b in batches[:4]] == [0.333, 0.667, 1.0, 0.8]
    assert all(b.lr == 1.0 for b in batches[7:])
    assert batches[7].shares["reverse"] > 0.9 > 0.6 > batches[16].shares["reverse"]
    assert all(len(b.documents) == 4 and all(len(d.targets) for d in b.documents) for b in batches)


@given(st.integers(0, 17), st.integers(0, 3))
def test_a_resumed_curriculum_goes_on_with_the_very_batches(stages: list[Stage], done: int, seed: int) -> None:
    whole = list(Curriculum(stages, seed))
    first = Curriculum(stages, seed)
    for _ in range(done):
        next(first)
    resumed = Curriculum(stages, seed)
    resumed.load_state(json.loads(json.dumps(first.state())))
    assert resumed.done == done
    assert same(list(resumed), whole[done:])


def test_the_seed_decides_the_order(stages: list[Stage]) -> None:
    assert same(list(Curriculum(stages, 1)), list(Curriculum(stages, 1)))
    assert not same(list(Curriculum(stages, 1)), list(Curriculum(stages, 2)))


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("learner.token_budget=100", "learner.token_budget 100 is below the context 128 of stage basics"),
        ("stages.0.epochs=1", "give exactly one of steps and epochs; here both are set"),
        ("stages.1.name=basics", "two are called 'basics'"),
        ("stages.0.batch_size=0", "stages.0.batch_size takes a whole number of at least 1"),
        ("stages.0.warmup_steps=500", "steps (500) must be above warmup_steps (500)"),
        ("stages.0.context=[[0.0, 128], [0.5, 64]]", "context falls from 128 to 64"),
        ("stages.0.sources.0.weight=-1", "weight is -1"),
        ("stages.0.sources.1.name=addition", "the name 'addition' is used 2 times"),
        ("learner.lr=1e-3", "learner.lr: no such key; did you mean"),
        ("learner.world_size=3", "sequence_parallel (2) must divide world_size (3)"),
    ],
)
def test_a_recipe_that_cannot_work_is_refused_with_the_reason(override: str, message: str) -> None:
    with pytest.raises(UserError) as refused:
        load_as(SftRecipe, DEMO, [override])
    assert message in str(refused.value).replace("stages[0]", "stages.0")


def test_a_cursor_knows_whether_it_stands_at_a_stages_end(stages: list[Stage]) -> None:
    curriculum, ends = Curriculum(stages, 0), []
    assert not curriculum.between_stages
    for batch in curriculum:
        resumed = Curriculum(stages, 0)
        resumed.load_state(curriculum.state())
        assert resumed.between_stages == batch.ends_stage
        ends += [batch.step] if batch.ends_stage else []
    assert ends == [7, curriculum.total]
