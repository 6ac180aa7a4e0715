"""The recipe: what it says together, where its parts come from, and how keys are described."""

from __future__ import annotations

from pathlib import Path

import pytest
from recipe_files import SMALL, write_recipe

from reprise.core.errors import UserError
from reprise.launch.recipe.keys import field_at, keys, takes
from reprise.launch.recipe.loading import load, load_as, to_yaml
from reprise.launch.recipe.schema import Recipe
from reprise.launch.recipe.sft_schema import SftRecipe
from reprise.launch.recipe.yaml_tree import parse

ROOT = Path(__file__).parents[3]


def test_a_recipe_needs_no_more_than_what_has_no_sensible_default(tmp_path: Path) -> None:
    recipe = load(write_recipe(tmp_path))
    assert (recipe.name, recipe.steps, recipe.learner.lr) == ("small", 4, 1e-3)


def test_a_resolved_recipe_reads_back_as_itself(tmp_path: Path) -> None:
    recipe = load(write_recipe(tmp_path), ["learner.eps=1e-9", "rollout.stop=['</ans>', \"12\"]", "name='007'"])
    (tmp_path / "resolved.yaml").write_text(to_yaml(recipe))
    assert load(tmp_path / "resolved.yaml") == recipe


@pytest.mark.parametrize("path", sorted((ROOT / "recipes").rglob("*.yaml")), ids=lambda p: p.name)
def test_every_recipe_of_the_repository_is_valid(path: Path) -> None:
    if path.name == "demo_before.yaml":  # of which demo.yaml is the whole
        assert "before: {sft: demo_before.yaml}" in path.with_name("demo.yaml").read_text()
    elif path.read_text().startswith("stages:") or "\nstages:" in path.read_text():
        assert load_as(SftRecipe, path).stages
    else:
        assert load(path).steps >= 1


def test_a_frozen_recipe_cannot_be_changed_by_the_code_it_configures(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="frozen"):
        load(write_recipe(tmp_path)).steps = 5  # type: ignore[misc]


# --- extends and --set ------------------------------------------------------------------------------------------------


def test_extends_merges_mappings_and_replaces_lists_through_a_chain_of_folders(tmp_path: Path) -> None:
    write_recipe(tmp_path, "base.yaml", rollout={"stop": ["a", "b"], "engine": {"max_num_seqs": 7}})
    (tmp_path / "sub").mkdir()
    (tmp_path / "middle.yaml").write_text("extends: base.yaml\nrollout: {group_size: 4, engine: {max_model_len: 99}}\n")
    (tmp_path / "sub" / "leaf.yaml").write_text("extends: ../middle.yaml\nrollout: {stop: [c]}\n")
    recipe = load(tmp_path / "sub" / "leaf.yaml")
    assert (recipe.rollout.stop, recipe.rollout.group_size) == (("c",), 4)
    assert (recipe.rollout.engine.max_num_seqs, recipe.rollout.engine.max_model_len) == (7, 99)
    assert recipe.name == "leaf"


def test_a_circle_of_extends_is_refused_with_its_links(tmp_path: Path) -> None:
    for name, base in (("a", "b"), ("b", "a")):
        (tmp_path / f"{name}.yaml").write_text(f"extends: {base}.yaml\n")
    with pytest.raises(UserError, match=r"b\.yaml:1: .*circle: a\.yaml -> b\.yaml -> a\.yaml"):
        load(tmp_path / "a.yaml")


def test_a_missing_base_is_named_with_the_line_that_asks_for_it_and_the_nearest_file(tmp_path: Path) -> None:
    write_recipe(tmp_path, "base.yaml")
    (tmp_path / "leaf.yaml").write_text("seed: 1\nextends: bse.yaml\n")
    with pytest.raises(UserError, match=r"leaf\.yaml:2: `extends`: there is no recipe .*; did you mean .*base\.yaml\?"):
        load(tmp_path / "leaf.yaml")


def test_the_last_override_wins_and_its_value_is_yaml(tmp_path: Path) -> None:
    overrides = ["learner.lr=1", "learner.lr=1e-4", "before=null", "learner.betas=[0.8, .9]", "rollout.engines=2"]
    recipe = load(write_recipe(tmp_path), overrides)
    assert (recipe.learner.lr, recipe.learner.betas, recipe.rollout.engines) == (1e-4, (0.8, 0.9), 2)


def test_an_override_reaches_into_a_list_and_keeps_the_rest_of_it(tmp_path: Path) -> None:
    train = [{"generator": "recipe_files:tasks"}, {"path": "b.jsonl", "weight": 3.0}]
    recipe = load(write_recipe(tmp_path, data={"train": train}), ["data.train.1.weight=5"])
    assert [(s.path, s.weight) for s in recipe.data.train] == [(None, 1.0), ("b.jsonl", 5.0)]


def test_another_policy_is_one_key(tmp_path: Path) -> None:
    file = write_recipe(tmp_path, policy={"build": "reprise.models.tiny:build", "build_args": {"width": 96}})
    policy = load(file, ["policy.path=/models/mine"]).policy
    assert (policy.path, policy.build, policy.build_args) == ("/models/mine", None, {})


def test_an_error_in_a_base_names_the_base_and_one_in_the_heir_the_heir(tmp_path: Path) -> None:
    write_recipe(tmp_path, "base.yaml", learner={"lr": "fast", "epochs": 0})
    (tmp_path / "leaf.yaml").write_text("extends: base.yaml\n\nlearner:\n  epochs: 1.5\n")
    with pytest.raises(UserError) as refused:
        load(tmp_path / "leaf.yaml")
    base, leaf = sorted(str(refused.value).splitlines(), key=lambda line: "leaf.yaml" in line)
    assert base.endswith("learner.lr takes a number above 0, but was given the text 'fast'")
    assert "base.yaml:" in base
    assert leaf.endswith("leaf.yaml:4: learner.epochs takes a whole number of at least 1, but was given 1.5")


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("rewards.verifiers.exact.timeout_s=9", "no such key"),
        ("rewards.verifiers.exact.gpus=1.5", "gpus above 1 are given out whole, not as 1.5"),
        ("rewards.verifiers.exact.resources={CPU: 1}", "resources: CPU is none of your own; use cpus"),
        ("rewards.verifiers.exact.resources={judge_host: 0}", "an amount above 0, not 'judge_host': 0"),
        ("rewards.verifiers.exact.queue=0", "queue takes a whole number of at least 1"),
        ("rewards.verifiers={a/b: {use: exact}}", "a verifier's name has letters, digits"),
    ],
)
def test_what_a_verifier_cannot_be_given_is_refused_with_a_hint(tmp_path: Path, override: str, message: str) -> None:
    with pytest.raises(UserError) as refused:
        load(write_recipe(tmp_path), [override])
    assert message in str(refused.value)


# --- YAML -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("1e-4", 1e-4), ("1E5", 1e5), ("-.5", -0.5), ("3.", 3.0), ("+7", 7), ("1_000", 1000), ("true", True),
        ("null", None), ("~", None), ("", None), ("yes", "yes"), ("on", "on"), ("012", "012"), ("1:30", "1:30"),
        ("2026-01-01", "2026-01-01"), (".inf", ".inf"), ("'1e-4'", "1e-4"), ("0x10", "0x10"),
    ],
)  # fmt: skip
def test_plain_values_are_read_as_people_mean_them(text: str, value: object) -> None:
    read, _ = parse(text, "here")
    assert read == value
    assert type(read) is type(value)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a: 1\nb: 2\na: 3\n", "here:3: a is written twice (also on line 1); keep one"),
        ("a:\n  b: -1e999\n", "here:2: a.b is -1e999, beyond the largest number that there is"),
        ("a:\n  b: 1\n  b: 1\n", "here:3: a.b is written twice (also on line 2); keep one"),
        ("a: &x 1\nb: *x\n", "here:1: b is an alias of another value"),
        ("a: &x [*x]\n", "is an alias of another value"),
        ("a: !!python/object:os.system {}\n", "here:1: a has the tag tag:yaml.org,2002:python/object:os.system"),
        ("1: a\n", "here:1: a key must be a word, not 1"),
        ("a: [1,\nb: 2\n", "not valid YAML: expected ',' or ']'"),
        ("\ta: 1\n", "here:1: not valid YAML"),
        ("a: \x00\n", "here: not valid YAML"),
        ("[" * 5000, "here: nested too deeply"),
    ],
)
def test_yaml_that_would_be_misread_is_refused_with_its_line(text: str, message: str) -> None:
    with pytest.raises(UserError) as refused:
        parse(text, "here")
    assert message in str(refused.value)


# --- what rooms must agree on, and notes ------------------------------------------------------------------------------


def test_a_recipe_made_in_code_is_checked_like_one_in_a_file() -> None:
    with pytest.raises(ValueError, match="leaves no room for a prompt"):
        Recipe.model_validate({**SMALL, "name": "x", "rollout": {"max_response_tokens": 256}})


def test_clipping_is_said_to_be_inactive_exactly_when_it_is(tmp_path: Path) -> None:
    file = write_recipe(tmp_path)

    def said(*overrides: str) -> bool:
        return any("Clipping is inactive" in note for note in load(file, overrides).notes())

    assert said()
    assert not said("learner.proximal=behaviour")
    assert not said("learner.minibatches=2")
    assert not said("learner.epochs=2", "buffer.reuse.max_uses=4")


@pytest.mark.parametrize(
    ("overrides", "note"),
    [
        (["rollout.max_staleness=0"], "synchronous training"),
        (
            ["rollout.max_staleness=1", "rollout.max_concurrent_groups=9"],
            "(max_staleness 1 + 1) x 4 fresh groups a batch = 8",
        ),
        (
            ["learner.schedule=cosine", "learner.decay_steps=3"],
            "The learning rate is zero from optimiser step 3 of 4 on",
        ),
        (["eval.every=5", "data.held_out=[{path: held_out.jsonl}]"], "eval.every 5 is above steps 4"),
        (["checkpoints.every=0"], "checkpoints.every is 0: a run that is killed (SIGKILL) starts from the beginning"),
        (["steps=30"], "rollout.max_response_tokens is not set: responses are cut off at 64 tokens"),
        (["data.held_out=[]"], "data.held_out is empty: pass@1 is not measured"),
        (["rewards.verifiers.exact.deadline_s=61"], "deadline_s 61 is above buffer.take_deadline_s 60"),
        (["steps=30"], "nothing trains it before RL (`before`): from random weights RL finds little"),
    ],
)
def test_what_is_allowed_but_odd_is_noted(tmp_path: Path, overrides: list[str], note: str) -> None:
    assert note in " ".join(load(write_recipe(tmp_path), overrides).notes())


@pytest.mark.parametrize(
    ("overrides", "note"),
    [
        (["policy.build=reprise.models.smollm2:build"], "random weights"),
        (["policy.path=somewhere"], "random weights"),
        (["rollout.max_response_tokens=64"], "toy tasks"),
        (["eval.every=5"], "evaluated only before and after"),  # it is not evaluated at all
        (["checkpoints.every=1"], "SIGKILL"),
    ],
)
def test_nothing_untrue_is_noted(tmp_path: Path, overrides: list[str], note: str) -> None:
    assert note not in " ".join(load(write_recipe(tmp_path), overrides).notes())


# --- keys -------------------------------------------------------------------------------------------------------------


def test_every_key_says_what_it_takes_and_what_it_does() -> None:
    for key in keys():
        assert key.description, f"{key.path} has no description"
        assert key.takes != "any value", f"{key.path}: its type has no words in launch/recipe/keys.py"


def test_keys_inside_lists_and_named_mappings_are_listed_too() -> None:
    paths = {key.path for key in keys()}
    assert {"data.train[].weight", "rewards.verifiers.*.use", "before.sft", "weights.deadline_s"} <= paths


@pytest.mark.parametrize(
    ("path", "words"),
    [
        (("steps",), "a whole number of at least 1"),
        (("cluster", "learner_port"), "a whole number of at least 1024 and of at most 65535 or null"),
        (("data", "train", 0, "weight"), "a number above 0"),
        (("rewards", "verifiers", "any", "use"), "text, not empty"),
        (("rewards", "verifiers", "any", "workers"), "a whole number of at least 1 and of at most 1024"),
        (("data", "train", 0, "path"), "text, not empty, or null"),
        (("name",), "text of at most 200 characters"),
        (("learner", "zero_stage"), "one of 1, 2, 3"),
    ],
)
def test_a_key_takes_what_its_type_and_range_say(path: tuple[str | int, ...], words: str) -> None:
    field = field_at(path)
    assert field is not None
    assert takes(field) == words
