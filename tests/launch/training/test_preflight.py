"""What is refused before any actor is started, and by which words."""

from __future__ import annotations

import json
import math
import os
import re
import shutil
import socket
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from recipe_files import STAGE, write_policy_folder, write_recipe
from safetensors.torch import load_file, save_file
from transformers import Qwen3Config

from reprise.core.errors import UserError
from reprise.launch.cli import main
from reprise.launch.placement import fit
from reprise.launch.placement.fit import check_fit
from reprise.launch.placement.memory import GIB, check_cache_holds_a_sequence, policy_size
from reprise.launch.placement.nodes import Node
from reprise.launch.recipe.either import load_either
from reprise.launch.recipe.loading import load
from reprise.launch.recipe.schema import Recipe
from reprise.launch.recipe.settings import LearnerPlaces
from reprise.launch.reporting.run_folder import RunFolder
from reprise.launch.training import preflight
from reprise.learner.settings import TrainEngineSettings
from reprise.models.motif2.build import build
from reprise.models.policy import policy_config, read_config

NODES = [Node(cpus=4, gpus=0, memory=16 * GIB)]
TASK = {"id": "1", "prompt": "1+1=", "domain": "addition", "verifier": "exact", "answer": "2"}

CONVERSATIONS = {"seed": 0, "count": 9, "domain": "reverse", "split": "train", "error_rate": 0.1, "sizes": {}}


def before(generator: str, **args: object) -> dict[str, object]:
    """A stage before RL whose conversations come from a generator."""
    return {
        "before": {"sft": {"stages": [STAGE | {"sources": [{"name": "sums", "generator": generator, "args": args}]}]}}
    }


@pytest.fixture(autouse=True)
def a_machine_without_gpus(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever this one has: dry runs here plan for others."""
    monkeypatch.setattr(preflight, "local_nodes", lambda: NODES)


def refusal(file: Path, *overrides: str, nodes: list[Node] = NODES) -> str:
    with pytest.raises(UserError) as refused:
        preflight.check(load(file, overrides), nodes)
    return str(refused.value)


def test_a_good_recipe_gives_its_tasks_and_its_plan(tmp_path: Path) -> None:
    checked = preflight.check(load(write_recipe(tmp_path)), NODES)
    assert [task.id for task in checked.tasks.train[0]] == ["sum/1", "sum/2"]
    assert len(checked.plan.placements) == 5
    assert not (tmp_path / "runs").exists()


def test_a_policy_folder_counts_in_the_plan(tmp_path: Path) -> None:
    folder = write_policy_folder(tmp_path / "policy", layers=1, vocabulary=10**6)
    layer = 2 * 64 * 128 + 2 * 64 * 64 + 2 * 32 + 3 * 64 * 64 + 2 * 64  # attention and its norms, MLP, norms
    parameters = 64 * 10**6 + 64 + layer  # embedding, last norm
    recipe = load(write_recipe(tmp_path, policy={"path": str(folder)}))
    size = policy_size(recipe, read_config(folder))
    assert size.parameters == parameters
    checked = preflight.check(recipe, NODES)
    assert checked.plan.of("engine")[0].memory == 2.5 * GIB + 4 * parameters
    assert checked.plan.of("learner")[0].memory == 1.5 * GIB + sum(size.rank.values()) > 1.5 * GIB + 16 * parameters


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        ([TASK, "{broken"], "tasks.jsonl:2: "),
        ([TASK, TASK], "tasks.jsonl:2: id '1' was already used at"),
        (
            [{**TASK, "verifier": "exakt"}],
            "tasks.jsonl:1: verifier 'exakt' is not in rewards.verifiers; did you mean 'exact'?",
        ),
        ([{"id": "1"}], "tasks.jsonl:1: field 'prompt' is missing"),
        ([], "has no task to train on"),
    ],
)
def test_a_bad_record_is_named_by_file_and_line(tmp_path: Path, lines: list[object], message: str) -> None:
    file = tmp_path / "tasks.jsonl"
    file.write_text("".join((line if isinstance(line, str) else json.dumps(line)) + "\n" for line in lines))
    assert message in refusal(write_recipe(tmp_path, data={"train": [{"path": str(file)}]}))


@pytest.mark.parametrize(
    ("sections", "message"),
    [
        ({"data": {"train": [{"path": "nowhere.jsonl"}]}}, "nowhere.jsonl: there is no such task file"),
        ({"data": {"train": [{"generator": "recipe_files:task"}]}}, "did you mean 'tasks'?"),
        (
            {"rewards": {"verifiers": {"exact": {"use": "exakt"}}}},
            "there is no verifier 'exakt'; did you mean 'exact'?",
        ),
        ({"policy": {"build": "reprise.models.huge:build"}}, "policy.build: cannot import 'reprise.models.huge:build'"),
        ({"policy": {"build": "recipe_files:build_policy", "build_args": {"wdth": 3}}}, "policy.build_args"),
        ({"policy": {"path": "/nowhere/policy"}}, "policy.path: /nowhere/policy lacks the folder itself"),
        (before("recipe_files:nothing"), "generator of source sums: 'recipe_files:nothing'"),
        (before("recipe_files:records", n=3), "source sums: recipe_files:records({'n': 3})"),
        (before("recipe_files:no_records"), 'a record is an object {"messages": [...]}, not the text'),
        (
            before("reprise.data.demo.conversations:conversations", **CONVERSATIONS | {"styles": {"neat": 1}}),
            "styles names neat; there are clean, sloppy, direct",
        ),
    ],
)
def test_what_a_recipe_names_must_be_there(tmp_path: Path, sections: dict, message: str) -> None:
    assert message in refusal(write_recipe(tmp_path, **sections))


def test_a_folder_with_broken_weights_or_configuration_names_the_file(tmp_path: Path) -> None:
    folder = write_policy_folder(tmp_path / "policy")
    file = write_recipe(tmp_path, policy={"path": str(folder)})
    weights = (folder / "model.safetensors").read_bytes()
    for broken in (b"", weights[:20], b"\xff" * 64, b"\x02\0\0\0\0\0\0\0[]"):
        (folder / "model.safetensors").write_bytes(broken)
        assert "model.safetensors is not a readable safetensors file" in refusal(file)
    (folder / "config.json").write_text("{}")
    assert "config.json is not the configuration of a transformers model" in refusal(file)


def test_a_prompt_too_long_for_a_response_is_named(tmp_path: Path) -> None:
    folder = write_policy_folder(tmp_path / "policy")
    tasks = tmp_path / "tasks.jsonl"
    long = {**TASK, "id": "long", "prompt": "word " * 30}
    tasks.write_text("\n".join(map(json.dumps, [TASK, long])))
    file = write_recipe(tmp_path, policy={"path": str(folder)}, data={"train": [{"path": str(tasks)}]})
    limits = ["rollout.max_response_tokens=10", "learner.token_budget=100", "weights.check_tokens=8"]
    preflight.check(load(file, [*limits, "rollout.engine.max_model_len=40"]), NODES)
    message = refusal(file, *limits, "rollout.engine.max_model_len=39")
    assert "task 'long' of domain 'addition' has a prompt of 30 tokens" in message
    assert "max_model_len 39 - rollout.max_response_tokens 10 leaves 29" in message


def test_a_stop_text_of_several_tokens_is_refused(tmp_path: Path) -> None:
    folder = write_policy_folder(tmp_path / "policy")
    message = refusal(write_recipe(tmp_path, policy={"path": str(folder)}, rollout={"stop": ["a b"]}))
    assert message.startswith("rollout.stop: 'a b' is 2 tokens of this tokenizer")


def test_a_tokenizer_that_cannot_be_loaded_is_refused(tmp_path: Path) -> None:
    folder = write_policy_folder(tmp_path / "policy")
    for broken in ("{broken", "{}", "[]"):
        (folder / "tokenizer.json").write_text(broken)
        file = write_recipe(tmp_path, policy={"path": str(folder)})
        assert f"{folder}: its tokenizer cannot be loaded" in refusal(file)


def test_an_end_token_that_cannot_be_read_is_not_the_tokenizers_fault(tmp_path: Path) -> None:
    folder = write_policy_folder(tmp_path / "policy")
    (folder / "generation_config.json").write_text("{broken")
    message = refusal(write_recipe(tmp_path, policy={"path": str(folder)}))
    assert message.startswith(f"{folder}/generation_config.json cannot be read: ")


def test_a_prompt_that_the_chat_template_refuses_is_named(tmp_path: Path) -> None:
    folder = write_policy_folder(
        tmp_path / "policy", chat_template="{{ raise_exception('no ' + messages[0]['role']) }}"
    )
    message = refusal(write_recipe(tmp_path, policy={"path": str(folder)}))
    assert message.startswith("task 'sum/1': ")
    assert message.endswith("chat template refuses its prompt: no user")


def test_a_tokenizer_without_a_chat_template_is_refused(tmp_path: Path) -> None:
    folder = write_policy_folder(tmp_path / "policy", chat_template=None)
    assert "has no chat template" in refusal(write_recipe(tmp_path, policy={"path": str(folder)}))


def test_too_little_memory_for_the_engines_cache_is_refused(tmp_path: Path) -> None:
    message = refusal(write_recipe(tmp_path), "rollout.engine.kv_cache_gb=100")
    assert message.startswith("too little memory for the engine's cache: one engine needs")


def test_a_port_in_use_is_refused_and_a_free_one_is_not(tmp_path: Path) -> None:
    file = write_recipe(tmp_path)
    with socket.socket() as taken:
        taken.bind(("", 0))
        taken.listen()
        port = taken.getsockname()[1]
        assert f"cluster.learner_port {port} cannot be used (Address already in use)" in refusal(
            file, f"cluster.learner_port={port}"
        )
    preflight.check(load(file, [f"cluster.learner_port={port}"]), NODES)


def test_a_runs_folder_that_cannot_be_written_is_refused(tmp_path: Path) -> None:
    (tmp_path / "taken").write_text("a file")
    assert "taken is a file; name a folder" in refusal(
        write_recipe(tmp_path, runs_dir=str(tmp_path / "taken" / "runs"))
    )
    if os.geteuid():
        assert "no permission to write in /" in refusal(write_recipe(tmp_path, runs_dir="/runs"))


def test_a_full_disk_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real = shutil.disk_usage
    full = SimpleNamespace(free=2**20)
    monkeypatch.setattr("shutil.disk_usage", lambda path: real(path) if str(path) == "/dev/shm" else full)
    assert "0.000977 GiB free, the run may write 0.25 GiB; make room" in refusal(write_recipe(tmp_path))


MOTIF2 = Path(__file__).resolve().parents[3] / "recipes" / "motif2_12p7b"
H100_NODES = ["--node-cpus", "96", "--node-gpus", "8", "--node-memory-gb", "1500"]


def recipes_with_gpus() -> list[Path]:
    every = set(MOTIF2.parent.rglob("*.yaml")) - {MOTIF2.parent / "demo_before.yaml"}  # that is a part of demo.yaml
    return [file for file in sorted(every) if load_either(file).cluster.learner_gpus]


def test_the_repository_has_recipes_for_gpus() -> None:
    assert {file.stem for file in recipes_with_gpus()} == {"rl_64k", "sft_stage1", "sft_stage2"}


@pytest.mark.parametrize("file", recipes_with_gpus(), ids=lambda file: file.stem)
def test_every_recipe_for_gpus_passes_all_checks_that_need_no_weights(capsys, file: Path) -> None:
    recipe = load_either(file)
    rl = isinstance(recipe, Recipe)
    gpus: float = recipe.learner.world_size
    if isinstance(recipe, Recipe):
        gpus += recipe.rollout.engines * recipe.engine_gpus
    nodes = ["--nodes", str(math.ceil(gpus / 8)), *H100_NODES]
    assert main(["train" if rl else "sft", str(file), "--dry-run", *nodes]) == 0, capsys.readouterr().err
    out = capsys.readouterr().out
    assert "All checks passed. Nothing was started." in out
    assert "share rows" not in out


def test_a_cache_too_small_for_a_sequence_is_refused_though_the_policy_is_not_there_yet(capsys) -> None:
    arguments = ["train", str(MOTIF2 / "rl_64k.yaml"), "--dry-run", "--nodes", "4", *H100_NODES]
    enough = load(MOTIF2 / "rl_64k.yaml", ["rollout.engine.kv_cache_gb=5"])  # each of four GPUs has a quarter of 20 GiB
    config = policy_config(enough.policy)
    assert config is not None
    check_cache_holds_a_sequence(enough, config)
    assert main([*arguments, "--set", "rollout.engine.kv_cache_gb=1"]) == 2
    assert capsys.readouterr().err == (
        "reprise: rollout.engine.kv_cache_gb 1 is too little memory for the engine's cache: one sequence of "
        "rollout.engine.max_model_len 65536 x 81,920 bytes a token = 5 GiB on each of its 4 ranks; raise kv_cache_gb "
        "or lower max_model_len\n"
    )


def test_a_degree_that_splits_the_policys_heads_is_refused_before_anything_starts(capsys) -> None:
    arguments = ["sft", str(MOTIF2 / "sft_stage2.yaml"), "--dry-run", "--nodes", "2", *H100_NODES]
    assert main([*arguments, "--set", "learner.sequence_parallel=16"]) == 2
    assert "8 groups of heads (40 query heads) cannot be shared evenly by 16 ranks" in capsys.readouterr().err


def test_engines_may_not_split_a_group_of_heads(capsys) -> None:
    arguments = ["train", str(MOTIF2 / "rl_64k.yaml"), "--dry-run", "--nodes", "4", *H100_NODES]
    assert main([*arguments, "--set", "rollout.engine.tensor_parallel=16"]) == 2
    said = capsys.readouterr().err
    assert said.startswith("reprise: rollout.engine.tensor_parallel 16 does not fit model type Motif: its 8 groups of")
    assert said.endswith("use one of [1, 2, 4, 8]\n")


def test_engines_of_another_model_must_share_its_heads_evenly(tmp_path: Path) -> None:
    folder = write_policy_folder(tmp_path / "policy")  # 4 query heads, 2 key-value heads
    file = write_recipe(tmp_path, policy={"path": str(folder)})
    for degree, fits in ((2, True), (3, False), (4, True), (8, False)):
        recipe = load(file, [f"rollout.engine.tensor_parallel={degree}"])
        config = policy_config(recipe.policy)
        if fits:
            check_fit(recipe, config)
        else:
            with pytest.raises(UserError, match=rf"tensor_parallel {degree} .* 4 attention heads .* \[1, 2, 4\]"):
                check_fit(recipe, config)


def test_responses_longer_than_positions_reach_are_refused_with_the_yarn_that_they_need(capsys) -> None:
    arguments = ["train", str(MOTIF2 / "rl_64k.yaml"), "--dry-run", "--nodes", "4", *H100_NODES]
    longer = ["--set=rollout.engine.max_model_len=131072", "--set=learner.token_budget=131072"]
    assert main([*arguments, *longer]) == 2
    said = capsys.readouterr().err
    assert said.startswith("reprise: rollout.engine.max_model_len: 131072 tokens of context are more than the 65536 of")
    assert "rope_type: yarn, factor: 2.0, original_max_position_embeddings: 65536" in said
    assert "(the policy's configuration is policy.build_args)" in said
    yarn = "{rope_type: yarn, rope_theta: 1e6, factor: 2.0, original_max_position_embeddings: 65536}"
    stretched = load(
        MOTIF2 / "rl_64k.yaml", [*(each[6:] for each in longer), f"policy.build_args.rope_parameters={yarn}"]
    )
    check_fit(stretched, policy_config(stretched.policy))


def test_conversations_longer_than_positions_reach_are_refused(capsys) -> None:
    arguments = ["sft", str(MOTIF2 / "sft_stage2.yaml"), "--dry-run", "--nodes", "2", *H100_NODES]
    longer = ["--set=stages.0.context=[[0.0, 65536], [0.5, 131072]]", "--set=learner.token_budget=131072"]
    assert main([*arguments, *longer]) == 2
    assert "reprise: stages.0.context: 131072 tokens of context are more than the 65536" in capsys.readouterr().err
    assert main([*arguments, "--set=learner.token_budget=131072"]) == 0  # a row of several documents may be longer


@pytest.fixture
def motif2(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Path:
    folder = build(tmp_path / "policy", 0, num_hidden_layers=1)
    capsys.readouterr()  # a progress bar
    return folder


def refused_lines(capsys, motif2: Path, runs: Path) -> list[str]:
    """What `train`, `sft` and `plan` print of a recipe with this policy; each must refuse it with one line."""
    said = []
    policy = [f"--set=policy={{path: {motif2}}}", f"--set=runs_dir={runs}"]
    demo, demo_sft = (str(MOTIF2.parent / name) for name in ("demo.yaml", "demo_sft.yaml"))
    for arguments in (
        ["train", demo, "--dry-run", "--set=before=null"],
        ["train", demo, "--set=before=null"],
        ["sft", demo_sft, "--dry-run"],
        ["sft", demo_sft],
        ["plan", demo],
    ):
        assert main([*arguments, *policy]) == 2, arguments
        said += capsys.readouterr().err.splitlines()
    assert not runs.exists()
    return said


def test_a_checkpoint_of_a_relative_is_refused_by_every_command_in_a_line(capsys, tmp_path: Path, motif2: Path) -> None:
    config = json.loads((motif2 / "config.json").read_text())
    (motif2 / "config.json").write_text(json.dumps({**config, "num_experts": 64}))
    said = refused_lines(capsys, motif2, tmp_path / "runs")
    assert len(said) == 5
    assert set(said) == {said[0]}
    assert said[0].startswith(f"reprise: {motif2}/config.json: num_experts=64 is another member of the Motif family")


def test_a_damaged_configuration_is_refused_by_every_command_in_a_line(capsys, tmp_path: Path, motif2: Path) -> None:
    (motif2 / "config.json").write_text('{"model_type": "Motif",')
    said = refused_lines(capsys, motif2, tmp_path / "runs")
    assert len(said) == 5
    assert all(line.startswith(f"reprise: {motif2}/config.json is not the configuration of a") for line in said)


def test_weights_that_do_not_fit_are_refused_before_anything_starts(capsys, tmp_path: Path, motif2: Path) -> None:
    weights = load_file(motif2 / "model.safetensors")
    weights["model.layers.0.mlp.act_fn.bias"] = torch.zeros(3)
    weights["model.layers.0.self_attn.norm.weight"] = weights.pop("model.layers.0.self_attn.subln.weight")
    save_file(weights, motif2 / "model.safetensors")
    for arguments in (["train", "demo.yaml", "--set=before=null"], ["sft", "demo_sft.yaml"]):
        command, recipe, *more = arguments
        policy = [f"--set=policy={{path: {motif2}}}", f"--set=runs_dir={tmp_path / 'runs'}"]
        for dry_run in ([], ["--dry-run"]):
            assert main([command, str(MOTIF2.parent / recipe), *more, *policy, *dry_run]) == 2
            assert capsys.readouterr().err == (
                f"reprise: policy.path: the weights in {motif2} do not fit its configuration. "
                "1 missing: model.layers.0.self_attn.subln.weight. "
                "1 unexpected: model.layers.0.self_attn.norm.weight. "
                "1 of another shape: model.layers.0.mlp.act_fn.bias is (3,) and not (1,)\n"
            )
    assert not (tmp_path / "runs").exists()


def test_a_folder_without_a_tokenizer_is_refused_before_anything_starts(capsys, tmp_path: Path, motif2: Path) -> None:
    (motif2 / "tokenizer.json").unlink()
    for command, recipe in (("train", "demo.yaml"), ("sft", "demo_sft.yaml")):
        policy = [f"--set=policy={{path: {motif2}}}", f"--set=runs_dir={tmp_path / 'runs'}"]
        assert main([command, str(MOTIF2.parent / recipe), *policy]) == 2
        said = capsys.readouterr().err
        assert said.startswith(f"reprise: policy.path: {motif2} lacks a tokenizer (tokenizer.json or tokenizer.model")
        assert "Give a folder written by `save_pretrained` of a transformers model and of its tokenizer." in said


def test_a_tokenizer_that_cannot_be_loaded_is_refused_by_sft_too(capsys, tmp_path: Path, motif2: Path) -> None:
    (motif2 / "tokenizer.json").write_text("{broken")
    arguments = [f"--set=policy={{path: {motif2}}}", f"--set=runs_dir={tmp_path / 'runs'}", "--dry-run"]
    assert main(["sft", str(MOTIF2.parent / "demo_sft.yaml"), *arguments]) == 2
    assert f"reprise: {motif2}: its tokenizer cannot be loaded" in capsys.readouterr().err


def test_held_out_conversations_longer_than_positions_reach_are_refused(capsys, tmp_path: Path, motif2: Path) -> None:
    arguments = [f"--set=policy={{path: {motif2}}}", f"--set=runs_dir={tmp_path / 'runs'}", "--dry-run"]
    config = json.loads((motif2 / "config.json").read_text())
    (motif2 / "config.json").write_text(json.dumps({**config, "max_position_embeddings": 48}))
    for stage in (0, 1):
        arguments += [f"--set=stages.{stage}.context=48", f"--set=stages.{stage}.overlong=drop"]
    assert main(["sft", str(MOTIF2.parent / "demo_sft.yaml"), *arguments]) == 2
    said = capsys.readouterr().err
    assert said.startswith("reprise: eval.sources: ")
    assert "tokens of context are more than the 48 of this Motif-2 configuration" in said


def test_a_world_that_the_degree_does_not_divide_is_refused(capsys) -> None:
    assert main(["sft", str(MOTIF2 / "sft_stage2.yaml"), "--dry-run", "--set", "learner.world_size=12"]) == 2
    assert "sequence_parallel (8) must divide world_size (12)" in capsys.readouterr().err


def test_a_gpu_kernel_is_refused_on_cpu(capsys) -> None:
    demo = MOTIF2.parent / "demo.yaml"
    assert main(["train", str(demo), "--dry-run", "--set", "learner.attention=flash_attention_2"]) == 2
    assert "learner.attention flash_attention_2 needs GPUs" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("attention", "dtype", "width", "said"),
    [
        ("flash_attention_2", "bfloat16", 256, None),
        ("flash_attention_2", "float32", 64, "computes in 16 bits, and policy.dtype is float32; set policy.dtype to"),
        ("flash_attention_2", "bfloat16", 512, "takes heads of at most 256 numbers, and the policy's have 512"),
        ("flex_attention", "float32", 512, None),
        ("sdpa", "float32", 512, None),
    ],
)
def test_a_kernel_is_refused_for_what_it_cannot_compute(
    attention: str, dtype: str, width: int, said: str | None
) -> None:
    learner, places = TrainEngineSettings(attention=attention), LearnerPlaces(learner_gpus=1)
    config = Qwen3Config(num_attention_heads=4, num_key_value_heads=2, head_dim=width)
    if said is None:
        fit.check_kernel(learner, places, dtype, config)
    else:
        with pytest.raises(UserError, match=f"^learner.attention flash_attention_2 {re.escape(said)}"):
            fit.check_kernel(learner, places, dtype, config)


@pytest.mark.parametrize(("gpus", "installed", "refused"), [(8, False, True), (8, True, False), (0, False, False)])
def test_a_kernel_s_package_is_missed_on_a_machine_with_gpus(
    monkeypatch: pytest.MonkeyPatch, gpus: int, installed: bool, refused: bool
) -> None:
    """Elsewhere a dry run may plan for machines that have it."""
    monkeypatch.setattr(fit, "local_nodes", lambda: [Node(96, gpus, 1500 * GIB)])
    monkeypatch.setattr(fit, "find_spec", lambda name: SimpleNamespace() if installed else None)
    asked = (TrainEngineSettings(attention="flash_attention_2"), LearnerPlaces(learner_gpus=1), "bfloat16", None)
    if refused:
        with pytest.raises(UserError, match=r"needs the package flash-attn, which is not installed on this machine"):
            fit.check_kernel(*asked)
    else:
        fit.check_kernel(*asked)


def test_float32_with_flash_attention_is_refused_by_both_commands(capsys) -> None:
    for command, recipe in (("train", "rl_64k"), ("sft", "sft_stage1")):
        arguments = [command, str(MOTIF2 / f"{recipe}.yaml"), "--dry-run", "--nodes", "4", *H100_NODES]
        assert main([*arguments, "--set", "policy.dtype=float32"]) == 2
        assert "flash_attention_2 computes in 16 bits, and policy.dtype is float32" in capsys.readouterr().err


def test_a_checkout_that_is_not_installed_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    installed = [SimpleNamespace(name="reprise")]
    monkeypatch.setattr(
        "reprise.rollout.entry_points.entry_points", lambda group: installed * (group == "vllm.general_plugins")
    )
    said = refusal(write_recipe(tmp_path))
    assert said.startswith(
        "reprise itself is not installed in this environment (no entry point reprise_motif2 of vllm."
    )
    assert said.endswith("pip install --no-build-isolation --no-deps -e .")


@pytest.mark.parametrize("below", ["", "team/runs"])
def test_a_runs_folder_behind_a_link_to_nothing_is_refused_at_once(tmp_path: Path, below: str) -> None:
    link = tmp_path / "scratch"
    link.symlink_to("/nowhere/wiped")
    runs_dir = str(link / below) if below else str(link)
    assert refusal(write_recipe(tmp_path, runs_dir=runs_dir)) == (
        f"runs_dir {runs_dir}: {link} is a link to /nowhere/wiped, which is not there; make that folder, or name "
        "another"
    )
    with pytest.raises(UserError, match=rf"^runs_dir {runs_dir}: no folder for the run 'x' can be made in it: "):
        RunFolder.create(runs_dir, "x")


def test_runs_of_one_name_are_numbered_and_links_to_nothing_passed_over(tmp_path: Path) -> None:
    (tmp_path / "x-2").symlink_to("/nowhere/wiped")
    assert [RunFolder.create(tmp_path, "x").name for _ in range(3)] == ["x", "x-3", "x-4"]


WINDOW = "rollout.engine.max_model_len {} is more than the 64 tokens up to which documents of this qwen3 policy are"


@pytest.mark.parametrize("built", [True, False])
def test_windows_shorter_than_a_sequence_are_refused_of_a_folder_and_of_a_builder(tmp_path: Path, built: bool) -> None:
    policy = {"build": "recipe_files:build_windowed"}
    if not built:
        folder = write_policy_folder(tmp_path / "policy")
        config = json.loads((folder / "config.json").read_text())
        window = {"use_sliding_window": True, "sliding_window": 64, "layer_types": ["sliding_attention"] * 2}
        (folder / "config.json").write_text(json.dumps({**config, **window}))
        policy = {"path": str(folder)}
    file = write_recipe(tmp_path, policy=policy)
    assert WINDOW.format(256) in refusal(file)
    short = ["rollout.engine.max_model_len=64", "rollout.max_response_tokens=32", "weights.check_tokens=32"]
    preflight.check(load(file, short), NODES)


def test_an_architecture_that_cannot_be_trained_is_refused_before_the_start(tmp_path: Path) -> None:
    folder = write_policy_folder(tmp_path / "policy")
    (folder / "config.json").write_text(json.dumps({"model_type": "bloom", "vocab_size": 8}))
    assert "model type bloom: " in refusal(write_recipe(tmp_path, policy={"path": str(folder)}))
