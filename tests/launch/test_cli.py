"""The command line as its users meet it: exit codes, messages, and what it does not import."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import types
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml
from recipe_files import write_recipe

from reprise.core.errors import UserError
from reprise.launch.cli import main
from reprise.launch.recipe.loading import load

ROOT = Path(__file__).parents[2]


def run_python(*args: str, cwd: Path = ROOT) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, *args], capture_output=True, text=True, cwd=cwd, check=False, timeout=60)


@pytest.fixture
def trained(monkeypatch: pytest.MonkeyPatch) -> Callable[[Callable], list]:
    """Puts a function in the place of `launch/training/rl.py: train`; gives the list of recipes it is called with."""

    def replace(train: Callable) -> list:
        recipes: list = []
        module = types.ModuleType("reprise.launch.training.rl")
        module.train = lambda recipe, *others: (recipes.append(recipe), train(recipe))[1]  # type: ignore[attr-defined]
        monkeypatch.setitem(sys.modules, "reprise.launch.training.rl", module)
        return recipes

    return replace


# --- help and what it costs -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("command", ["", "train", "recipe", "report"])
def test_every_command_has_help_with_an_example(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main([*filter(None, [command]), "--help"])
    assert ended.value.code == 0
    assert f"reprise {command}".strip() in capsys.readouterr().out.split("positional arguments")[-1]


def test_help_and_dry_run_import_nothing_heavy(tmp_path: Path) -> None:
    program = (
        "import sys; sys.path.insert(0, 'tests')\n"
        "from reprise.launch.cli import main\n"
        "try: main(sys.argv[1:])\n"
        "except SystemExit: pass\n"
        "print('IMPORTED', *sorted({'ray', 'vllm', 'deepspeed', 'torch', 'transformers'} & set(sys.modules)))\n"
    )
    file = str(write_recipe(tmp_path))
    for arguments in (["--help"], ["train", file, "--dry-run"], ["recipe", file], ["recipe", "--keys"]):
        ran = run_python("-c", program, *arguments)
        assert ran.stdout.endswith("IMPORTED\n"), ran.stdout + ran.stderr


def test_the_version_is_printed(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["--version"])
    assert ended.value.code == 0
    assert re.fullmatch(r"reprise \d+\.\d+\.\d+\n", capsys.readouterr().out)


def test_a_run_says_what_it_does_before_it_loads_anything_heavy(tmp_path: Path) -> None:
    program = (
        "import sys, builtins; sys.path.insert(0, 'tests')\n"
        "heavy, load = {'ray', 'vllm', 'deepspeed', 'torch', 'transformers'}, builtins.__import__\n"
        "def loading(name, *others):\n"
        "    if name.split('.')[0] in heavy: raise SystemExit(name)\n"
        "    return load(name, *others)\n"
        "builtins.__import__ = loading\n"
        "from reprise.launch.cli import main\n"
        "main(sys.argv[1:])\n"
    )
    ran = run_python("-c", program, "train", str(write_recipe(tmp_path)))
    assert re.fullmatch(r"\[ +\d+s\] small: loading libraries\n", ran.stdout)
    assert ran.stderr.split(".")[0].strip() in ("ray", "vllm", "deepspeed", "torch", "transformers")


def test_python_m_launch_is_the_same_program(tmp_path: Path) -> None:
    file = write_recipe(tmp_path)
    ran = run_python("-m", "reprise", "recipe", str(file))
    assert (ran.returncode, yaml.safe_load(ran.stdout)["name"]) == (0, "small")
    refused = run_python("-m", "reprise", "recipe", str(file), "--set", "lerner.lr=1")
    assert (refused.returncode, refused.stdout) == (2, "")
    assert refused.stderr == "reprise: --set lerner.lr=1: lerner: no such key; did you mean learner?\n"


# --- what commands print ----------------------------------------------------------------------------------------------


def test_a_dry_run_prints_recipe_plan_and_notes_and_writes_nothing(tmp_path: Path, capsys) -> None:
    assert main(["train", str(write_recipe(tmp_path)), "--dry-run", "--name", "007", "--set", "learner.lr=3e-4"]) == 0
    out = capsys.readouterr().out
    for expected in ("name: '007'", "  lr: 0.0003", "engine 0", "Note: Clipping is inactive", "Nothing was started."):
        assert expected in out
    assert [p.name for p in tmp_path.iterdir()] == ["small.yaml"]


def test_a_dry_run_plans_for_a_cluster_that_is_not_here(tmp_path: Path, capsys) -> None:
    cluster = ["--nodes", "2", "--node-cpus", "4", "--node-gpus", "8", "--node-memory-gb", "64"]
    assert main(["train", str(write_recipe(tmp_path)), "--dry-run", *cluster]) == 0
    out = capsys.readouterr().out
    assert "1 (host 1)" in out
    assert out.count("/ 64 GiB") == 2
    assert out.count("0 / 8") == 2


def test_tasks_that_are_held_out_too_and_memory_that_is_assumed_are_reported(tmp_path: Path, capsys) -> None:
    line = '{"id": "%s", "prompt": "2+2?", "domain": "sums", "verifier": "exact", "answer": "4"}\n'
    (tmp_path / "train.jsonl").write_text("".join(line.replace("2+2", f"{n}+2") % n for n in range(5)))
    (tmp_path / "held_out.jsonl").write_text(line % "other")
    data = {
        "train": [{"path": str(tmp_path / "train.jsonl")}],
        "held_out": [{"path": str(tmp_path / "held_out.jsonl")}],
    }
    recipe = write_recipe(tmp_path, data=data)
    assert main(["train", str(recipe), "--dry-run", "--nodes", "2", "--node-cpus", "9"]) == 0
    out = " ".join(capsys.readouterr().out.split())
    assert "Note: 1 of the 5 tasks of data.train are left out of training: data.held_out has their id or" in out
    assert "Each node is taken to have the memory that is free here" in out
    assert "--node-memory-gb says otherwise" in out


def test_the_printed_recipe_is_a_recipe(tmp_path: Path, capsys) -> None:
    file = write_recipe(tmp_path)
    assert main(["recipe", str(file), "--set", "learner.epochs=2", "--set", "buffer.reuse.max_uses=4"]) == 0
    (tmp_path / "mine.yaml").write_text(capsys.readouterr().out)
    assert load(tmp_path / "mine.yaml").learner.epochs == 2


def test_keys_are_listed_all_or_by_section(capsys) -> None:
    assert main(["recipe", "--keys"]) == 0
    assert "rollout.engine.kv_cache_gb" in capsys.readouterr().out
    assert main(["recipe", "--keys", "learner"]) == 0
    out = capsys.readouterr().out
    assert "learner.lr" in out
    assert "rollout.engines" not in out
    assert main(["recipe", "--keys", "stages", "--sft"]) == 0
    assert "stages[].warmup_steps" in capsys.readouterr().out


# --- training ---------------------------------------------------------------------------------------------------------


def test_a_run_that_returns_has_gone_well(tmp_path: Path, trained) -> None:
    recipes = trained(lambda recipe: None)
    assert main(["train", str(write_recipe(tmp_path)), "--set", "seed=3", "--name", "try"]) == 0
    assert [(recipe.seed, recipe.name) for recipe in recipes] == [(3, "try")]


def _raises(error: BaseException) -> Callable:
    def train(recipe: object) -> None:
        raise error

    return train


def test_a_run_that_dies_exits_1_with_its_cause_last(tmp_path: Path, trained, capsys) -> None:
    trained(_raises(RuntimeError("engine 0 died")))
    assert main(["train", str(write_recipe(tmp_path))]) == 1
    err = capsys.readouterr().err
    assert "Traceback" in err
    assert err.endswith("reprise: failed: RuntimeError: engine 0 died\n")


def test_bad_input_found_late_is_still_one_message(tmp_path: Path, trained, capsys) -> None:
    trained(_raises(UserError("a fault of yours")))
    assert main(["train", str(write_recipe(tmp_path))]) == 2
    assert capsys.readouterr().err == "reprise: a fault of yours\n"


def test_ctrl_c_exits_130(tmp_path: Path, trained, capsys) -> None:
    trained(_raises(KeyboardInterrupt()))
    assert main(["train", str(write_recipe(tmp_path))]) == 130
    assert capsys.readouterr().err == "reprise: interrupted\n"


def test_sigterm_stops_a_run_like_ctrl_c(tmp_path: Path, trained) -> None:
    before = signal.getsignal(signal.SIGTERM)
    trained(lambda recipe: os.kill(os.getpid(), signal.SIGTERM))
    try:
        assert main(["train", str(write_recipe(tmp_path))]) == 130
    finally:
        signal.signal(signal.SIGTERM, before)


# --- bad input: exit code 2 and one clear message ---------------------------------------------------------------------

SET = [
    ("learner.lrr=3", "--set learner.lrr=3: learner.lrr: no such key; did you mean learner.lr?"),
    ("lerner.lr=3", "lerner: no such key; did you mean learner?"),
    ("learner.temperature=1", "learner.temperature: no such key; did you mean rollout.temperature?"),
    ("xyzzy.a=3", "xyzzy: no such key; the keys here are name, seed, runs_dir, policy, steps"),
    ("data.train.0.wieght=2", "data.train.0.wieght: no such key; did you mean data.train.0.weight?"),
    ("data.train.3.weight=2", "data.train is a list of 1; name an item by its number, from 0"),
    ("data.train.x.weight=2", "data.train is a list of 1; name an item by its number, from 0"),
    ("learner.lr=fast", "learner.lr takes a number above 0, but was given the text 'fast'"),
    ("learner.lr=-1", "learner.lr takes a number above 0, but was given -1"),
    ("learner.lr=nan", "learner.lr takes a number above 0, but was given the text 'nan'"),
    ("learner.lr='1e-4'", "learner.lr takes a number above 0, but was given the text '1e-4'"),
    ("learner.lr=", "learner.lr takes a number above 0, but was given null"),
    ("steps=true", "steps takes a whole number of at least 1, but was given true"),
    ("steps=3.5", "steps takes a whole number of at least 1, but was given 3.5\n"),
    ("steps=", "steps takes a whole number of at least 1, but was given null\n"),
    ("name=" + "a" * 300, "name takes text of at most 200 characters, but was given the text 'aaa"),
    ("rewards.verifiers.brief=null", "rewards.verifiers.brief takes a mapping with keys use, args"),
    (
        "rewards.verifiers.exact.workers=100000",
        "takes a whole number of at least 1 and of at most 1024, but was given 1",
    ),
    (
        "rewards.verifiers.exact.use=./mine.py",
        "'./mine.py' lacks the name of the function or class: write ./mine.py:name",
    ),
    ('data.train=[{path: "a\\0b"}]', "'a\\x00b' cannot be a path: embedded null byte"),
    ('data.train=[{path: ""}]', "data.train.0.path takes text, not empty, or null, but was given the text ''"),
    ("data.train=[{path: http://example.org/x}]", "http://example.org/x: there is no such task file"),
    ("steps=0", "steps takes a whole number of at least 1, but was given 0: to have a policy evaluated, take steps=1"),
    ("buffer.normalize_std=1", "buffer.normalize_std takes true or false, but was given 1"),
    ("buffer=3", "buffer takes a mapping with keys batch_groups, fresh_fraction"),
    ("buffer.reuse=null", "buffer.reuse takes a mapping with keys max_uses, max_age, but was given null"),
    ("data.train=[]", "data.train takes a list of mappings with keys path, generator, args, weight, not empty"),
    ("learner.betas=[0.9]", "learner.betas is too short; it takes a list of 2"),
    ("learner.proximal=ppo", "learner.proximal takes one of recompute, behaviour, but was given the text 'ppo'"),
    (
        "warm_start={steps: 30}",
        "warm_start: no such key any more; what comes before RL is an SFT recipe: write before:",
    ),
    ("warm_start=null", "or before: null for nothing"),
    ("before.sft=3", "before.sft takes a mapping with keys name, seed"),
    ("before.sft=3", "but was given 3: give the path of an SFT recipe, relative to this file, or its keys"),
    ("before.sft=nowhere.yaml", "`before.sft`: there is no recipe nowhere.yaml"),
    ("before={sft: {learner: {weight_decay: 0}}}", "before.sft.stages is missing; it takes a list of mappings"),
    ("name=a/b", "name takes text of at most 200 characters (letters, digits, dots, dashes and underscores; no slash)"),
    ("rollout.top_p=0.9", "rollout.top_p: refused: it renormalises the sampled distribution"),
    ("rollout.engine.top_k=5", "rollout.engine.top_k: refused: it renormalises the sampled distribution"),
    ("rollout.repetition_penalty=1.1", "refused: the samples would not be the policy's own"),
    (
        "rollout.temperature=0",
        "rollout.temperature takes a number above 0, but was given 0: at 0 all samples of a group",
    ),
    ("rollout.group_size=1", "rollout.group_size takes a whole number of at least 2, but was given 1: a group of one"),
    ("rollout.max_response_tokens=256", "leaves no room for a prompt in rollout.engine.max_model_len 256"),
    ("learner.token_budget=100", "learner.token_budget 100 is below rollout.engine.max_model_len 256"),
    ("rollout.engine.max_num_batched_tokens=64", "is below rollout.engine.max_num_seqs 128"),
    ("buffer.max_groups=4", "--set buffer.max_groups=4: buffer: max_groups 4 cannot hold a batch"),
    ("learner.minibatches=9", "learner.minibatches 9 is above buffer.batch_groups 8"),
    (
        "learner.schedule=cosine",
        "--set learner.schedule=cosine: learner: schedule: cosine or wsd and decay_steps belong",
    ),
    ("learner.world_size=65", "more than the 64 trajectories of a minibatch"),
    ("buffer.reuse.max_uses=1", "buffer.reuse.max_uses 1 is too small"),
    ("cluster.engine_gpus=1", "weights.transport shared_memory is for engines on CPU"),
    ("weights.transport=nccl", "weights.transport nccl wants one whole GPU for each learner rank and engine rank"),
    ("weights.transport=ncl", "did you mean 'nccl'? valid: shared_memory, nccl, ipc, or a dotted path"),
    ("weights.transport=numpy:array", "numpy:array is no subclass of reprise.core.transport.Transport"),
    ("weights.transport=ipc", "weights.transport ipc wants learner and engine to share one GPU"),
    ("policy.path=/nowhere", "policy.path: /nowhere lacks the folder itself"),
    (
        "policy.path=Qwen/Qwen3-0.6B",
        "there is no folder Qwen/Qwen3-0.6B. Names of the Hugging Face hub are not fetched: `hf download "
        "Qwen/Qwen3-0.6B --local-dir Qwen3-0.6B`",
    ),
    ("rewards.verifiers.exact.use=exakt", "there is no verifier 'exakt'; did you mean 'exact'?"),
    ("learner.world_size=64", "64 learner x 1 CPU + 1 engine x 1 CPU = 65 CPUs, the machine has"),
    ("rollout.engine.kv_cache_gb=100000", "too little memory for the engine's cache"),
    ("learner", "wants key.path=value, such as --set learner.lr=1e-4"),
    ("=3", "wants key.path=value"),
    ("learner..lr=3", "wants key.path=value"),
    ("extends=demo.yaml", "`extends` belongs in a file"),
    ("learner={lr: [}", "not valid YAML"),
]


@pytest.mark.parametrize(("override", "message"), SET, ids=[override for override, _ in SET])
def test_a_bad_override_exits_2_with_one_clear_message(tmp_path: Path, capsys, override: str, message: str) -> None:
    assert main(["train", str(write_recipe(tmp_path)), "--dry-run", "--set", override]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith("reprise: ")
    assert message in err
    assert "Traceback" not in err
    assert err.count("\n") == 1


FILES = [
    (b"", "a recipe is a mapping of keys to values; this file is empty"),
    (b"- a\n- b\n", "a recipe is a mapping of keys to values; this file is a list"),
    (b"\xff\xfe\x00", "is not UTF-8 text; a recipe is a YAML file"),
    (b"steps: 3\nsteps: 4\n", "bad.yaml:2: steps is written twice (also on line 1); keep one"),
    (b"steps: [1\n", "not valid YAML"),
    (b"steps: 3\nlearner:\n  lr: 1e-4\n  clp_low: 0.1\n", "bad.yaml:4: learner.clp_low: no such key; did you mean"),
    (b"steps: 3\n", "buffer is missing; it takes a mapping with keys batch_groups"),
    (b"extends: nothing.yaml\n", "bad.yaml:1: `extends`: there is no recipe"),
    (b"extends: [a, b]\n", "bad.yaml:1: `extends` takes the path of one recipe"),
    (b"extends: bad.yaml\n", "`extends` goes round in a circle: bad.yaml -> bad.yaml"),
]  # fmt: skip


@pytest.mark.parametrize(("content", "message"), FILES, ids=[repr(content) for content, _ in FILES])
def test_a_bad_recipe_file_exits_2_naming_file_and_line(tmp_path: Path, capsys, content: bytes, message: str) -> None:
    (tmp_path / "bad.yaml").write_bytes(content)
    assert main(["train", str(tmp_path / "bad.yaml"), "--dry-run"]) == 2
    err = capsys.readouterr().err
    assert message in err
    assert "Traceback" not in err


ARGUMENTS = [
    (["train", "nowhere.yaml"], "there is no recipe nowhere.yaml"),
    (["train", "."], "recipe . cannot be read: Is a directory"),
    (["recipe"], "give a recipe file to print, or --keys"),
    (["recipe", "--keys", "lerner"], "--keys lerner: no such key or section; --keys alone lists all"),
    (["recipe", "--keys", "stages"], "there is in a recipe for `reprise sft`: add --sft"),
    (["recipe", "--keys", "rewards", "--sft"], "there is in a recipe for `reprise train`: leave --sft out"),
    (
        [
            "sft",
            "recipes/demo_sft.yaml",
            "--dry-run",
            "--set",
            "stages=[{name: a, lr: 1, sources: [{name: s, path: x}]}]",
        ],
        "stages.0.context is missing; it takes a whole number or a list of lists, such as 4096 or [[0.0, 2048], [0.5",
    ),
    (
        [
            "train",
            "recipes/demo.yaml",
            "--dry-run",
            "--nodes",
            "2",
            "--node-cpus",
            "8",
            "--set",
            "rollout.engine.kv_cache_gb=9999",
        ],
        "GiB; --node-memory-gb says otherwise.",
    ),
    (["report", "nowhere"], "nowhere is not a run's folder: it has no metrics.jsonl"),
    (["train", "x.yaml", "--nodes", "2"], "they go with --dry-run only"),
    (["train"], "give a recipe file, such as recipes/demo.yaml, or --resume RUN_DIR"),
    (["sft"], "give a recipe file, such as recipes/demo_sft.yaml, or --resume RUN_DIR"),
    (["train", "--resume", "/nowhere"], "/nowhere is not a run's folder: it has no recipe.yaml"),
    (["sft", "--resume", "/nowhere"], "/nowhere is not a run's folder: it has no recipe.yaml"),
    (["train", "x.yaml", "--resume", "runs/x"], "give neither RECIPE nor --name"),
    (["sft", "recipes/demo.yaml"], "rollout: no such key here: a recipe with rollouts is for RL: reprise train"),
    (["train", "recipes/demo_sft.yaml"], "stages: no such key here: a recipe with stages is for supervised"),
]


@pytest.mark.parametrize(("arguments", "message"), ARGUMENTS, ids=[" ".join(a) for a, _ in ARGUMENTS])
def test_bad_arguments_exit_2_with_one_line(capsys, arguments: list[str], message: str) -> None:
    assert main(arguments) == 2
    err = capsys.readouterr().err
    assert message in err
    assert err.count("\n") == 1


@pytest.mark.parametrize(
    "arguments",
    [
        [],
        ["tarin"],
        ["train", "x", "--st", "a=1"],
        *([["train", "x", "--nodes", n] for n in ("0", "x", "-1")]),
    ],
)
def test_argparse_refuses_with_2_too(arguments: list[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(arguments)
    assert ended.value.code == 2


def test_more_nodes_than_any_cluster_has_are_refused(capsys) -> None:
    with pytest.raises(SystemExit):
        main(["train", "x.yaml", "--dry-run", "--nodes", "1000000000"])
    assert "--nodes: must be at most 10,000, not 1000000000" in capsys.readouterr().err


def test_a_working_folder_that_was_deleted_is_said(tmp_path: Path, monkeypatch, capsys) -> None:
    (tmp_path / "gone").mkdir()
    monkeypatch.chdir(tmp_path / "gone")
    (tmp_path / "gone").rmdir()
    assert main(["recipe", "--keys"]) == 2
    assert capsys.readouterr().err == "reprise: the working folder has been deleted; change to one that is there\n"
