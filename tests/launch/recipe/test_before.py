"""`before`: an SFT recipe within an RL recipe, by its path or by its keys."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml
from recipe_files import STAGE, write_recipe

from reprise.core.errors import UserError
from reprise.launch.recipe.loading import load, to_yaml
from reprise.launch.recipe.sft_schema import SftRecipe


def write_stage(folder: Path, name: str = "imitate.yaml", **sections: Any) -> Path:
    file = folder / name
    file.write_text(yaml.safe_dump({"stages": [STAGE], **sections}, sort_keys=False))
    return file


def stage_of(file: Path, *overrides: str) -> SftRecipe:
    before = load(file, overrides).before
    assert before is not None
    return before.sft


def refusal(file: Path, *overrides: str) -> str:
    with pytest.raises(UserError) as refused:
        load(file, overrides)
    return str(refused.value)


def test_a_path_is_relative_to_the_recipe_that_says_it(tmp_path: Path) -> None:
    (tmp_path / "sub").mkdir()
    write_stage(tmp_path / "sub")
    write_recipe(tmp_path, "sub/base.yaml", before={"sft": "imitate.yaml"})
    (tmp_path / "leaf.yaml").write_text("extends: sub/base.yaml\n")
    for file in (tmp_path / "sub" / "base.yaml", tmp_path / "leaf.yaml"):
        assert [stage.name for stage in stage_of(file).stages] == ["imitation"]


def test_the_stage_s_file_may_extend_another(tmp_path: Path) -> None:
    write_stage(tmp_path, learner={"weight_decay": 0.1})
    (tmp_path / "slower.yaml").write_text("extends: imitate.yaml\nlearner: {betas: [0.8, 0.9]}\n")
    learner = stage_of(write_recipe(tmp_path, before={"sft": "slower.yaml"})).learner
    assert (learner.weight_decay, learner.betas) == (0.1, (0.8, 0.9))


def test_what_rl_fixes_may_be_left_out(tmp_path: Path) -> None:
    write_stage(tmp_path, learner={"weight_decay": 0.1})
    recipe = load(
        write_recipe(
            tmp_path,
            seed=5,
            before={"sft": "imitate.yaml"},
            rollout={"temperature": 0.7},
            learner={"world_size": 2, "token_budget": 512, "betas": [0.5, 0.6]},
            cluster={"learner_cpus": 0.5},
            tracking={"wandb": "disabled"},
        )
    )
    assert recipe.before is not None
    sft = recipe.before.sft
    assert (sft.name, sft.seed, sft.policy, sft.temperature) == (recipe.name, 5, recipe.policy, 0.7)
    assert (sft.learner.world_size, sft.learner.token_budget, sft.cluster.learner_cpus) == (2, 512, 0.5)
    assert (sft.learner.weight_decay, sft.learner.betas) == (0.1, (0.9, 0.999)), "its optimiser is its own"


@pytest.mark.parametrize(
    ("sections", "message"),
    [
        ({"seed": 3}, "before.sft.seed is not seed (3 and 0)"),
        ({"temperature": 0.5}, "before.sft.temperature is not rollout.temperature (0.5 and 1.0)"),
        ({"policy": {"path": "elsewhere"}}, "before.sft.policy is not policy: "),
        ({"learner": {"world_size": 2}}, "before.sft.learner.world_size is not learner.world_size (2 and 1)"),
        ({"learner": {"zero_stage": 3}}, "before.sft.learner.zero_stage is not learner.zero_stage (3 and 1)"),
        ({"learner": {"optimizer": "muon"}}, "before.sft.learner.optimizer is not learner.optimizer (muon and adamw)"),
        (
            {"cluster": {"learner_cpus": 0.5}},
            "before.sft.cluster.learner_cpus is not cluster.learner_cpus (0.5 and 1.0)",
        ),
    ],
)
def test_what_rl_fixes_must_agree_and_both_keys_are_named(
    tmp_path: Path, sections: dict[str, Any], message: str
) -> None:
    write_stage(tmp_path, **sections)
    refused = refusal(write_recipe(tmp_path, before={"sft": "imitate.yaml"}))
    assert message in refused
    assert refused.startswith(f"{tmp_path / 'imitate.yaml'}:")
    assert refused.endswith("leave it out there, or set both alike")
    assert len(refused.splitlines()) == 1


def test_an_error_within_names_the_file_and_line_of_the_stage(tmp_path: Path) -> None:
    file = write_recipe(tmp_path, before={"sft": "imitate.yaml"})
    write_stage(tmp_path, learner={"lr": 1})
    assert refusal(file).startswith(f"{tmp_path / 'imitate.yaml'}:10: before.sft.learner.lr: no such key")
    write_stage(tmp_path, stages=[STAGE | {"context": 10_000}])
    assert f"{tmp_path / 'imitate.yaml'}:6: before.sft: learner.token_budget 8192 is below" in refusal(file)
    write_stage(tmp_path, before={"sft": "imitate.yaml"})
    assert "before.sft.before: no such key" in refusal(file)
    (tmp_path / "imitate.yaml").unlink()
    assert f"{file}:{file.read_text().splitlines().index('before:') + 2}: `before.sft`: there is no" in refusal(file)


def test_a_mistake_in_rl_s_keys_is_said_once(tmp_path: Path) -> None:
    write_stage(tmp_path)
    file = write_recipe(tmp_path, before={"sft": "imitate.yaml"}, learner={"world_size": 0})
    assert [line.partition(": ")[2].partition(" takes")[0] for line in refusal(file).splitlines()] == [
        "learner.world_size"
    ]


def test_a_path_takes_the_place_of_all_that_lower_layers_say(tmp_path: Path) -> None:
    write_stage(tmp_path, learner={"weight_decay": 0.1})
    write_stage(tmp_path, "other.yaml")
    base = write_recipe(tmp_path, "base.yaml", before={"sft": "imitate.yaml"})
    (tmp_path / "leaf.yaml").write_text("extends: base.yaml\nbefore: {sft: other.yaml}\n")
    assert stage_of(tmp_path / "leaf.yaml").learner.weight_decay == 0
    assert stage_of(base, f"before.sft={tmp_path / 'other.yaml'}").learner.weight_decay == 0
    (tmp_path / "leaf.yaml").write_text("extends: base.yaml\nbefore: null\n")
    assert load(tmp_path / "leaf.yaml").before is load(base, ["before=null"]).before is None


def test_overrides_reach_into_the_stage(tmp_path: Path) -> None:
    write_stage(tmp_path)
    file = write_recipe(tmp_path, before={"sft": "imitate.yaml"})
    assert stage_of(file, "before.sft.stages.0.steps=7").stages[0].steps == 7


def test_a_resolved_recipe_reads_back_as_itself_and_its_layout_can_be_changed_in_one_place(tmp_path: Path) -> None:
    write_stage(tmp_path, learner={"weight_decay": 0.1})
    recipe = load(write_recipe(tmp_path, before={"sft": "imitate.yaml"}))
    resolved = tmp_path / "resolved.yaml"
    resolved.write_text(to_yaml(recipe))
    assert load(resolved, [f"name={recipe.name}"]) == recipe
    other = load(resolved, ["learner.world_size=2", "policy.path=/models/mine"])
    assert other.before is not None
    assert other.before.sft.learner.world_size == 2
    assert other.before.sft.policy.path == "/models/mine"
