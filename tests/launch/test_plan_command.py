"""`reprise plan`: what it prints, what it refuses, and what it proposes instead."""

from __future__ import annotations

import argparse
import itertools
import json
from pathlib import Path
from typing import Any

import pytest
import yaml
from recipe_files import write_recipe

from reprise.core.errors import UserError
from reprise.launch.planner.command import add_plan

LLAMA = {
    "model_type": "llama",
    "architectures": ["LlamaForCausalLM"],
    "vocab_size": 9000,
    "hidden_size": 128,
    "intermediate_size": 384,
    "num_hidden_layers": 3,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "max_position_embeddings": 2048,
    "tie_word_embeddings": False,
}


@pytest.fixture
def policy(tmp_path: Path) -> dict[str, Any]:
    """A recipe's `policy`: a folder with a configuration and no weights."""
    folder = tmp_path / "policy"
    folder.mkdir()
    (folder / "config.json").write_text(json.dumps(LLAMA))
    return {"path": str(folder)}


@pytest.fixture
def rl(tmp_path: Path, policy: dict[str, Any]) -> Path:
    return write_recipe(tmp_path, policy=policy)


def reprise(*arguments: Any) -> int:
    """`reprise plan` as the command line runs it: the exit code, or what a UserError becomes there."""
    parser = argparse.ArgumentParser()
    add_plan(parser.add_subparsers(required=True))
    args = parser.parse_args(["plan", *map(str, arguments)])
    return int(args.command(args) or 0)


def planned(capsys: pytest.CaptureFixture[str], *arguments: Any) -> tuple[int, dict[str, Any]]:
    capsys.readouterr()
    code = reprise(*arguments, "--json")
    return code, json.loads(capsys.readouterr().out)


def test_a_recipe_that_fits(rl: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert reprise(rl) == 0
    out = capsys.readouterr().out
    for part in ("parameters", "gradients", "optimiser", "communication", "activations kept", "logits and loss"):
        assert part in out
    for policy in ("none ◀", "norms", "mlp", "attention", "block"):
        assert policy in out
    assert "2.895e6 x 12 bytes: float32 master weights 4 + two moments 8" in out
    assert "It fits" in out
    assert "longest row that fits" in out
    assert "positions reach 2,048" in out
    assert "Times are not known without --peak-tflops" in out  # on CPU


def test_what_does_not_fit_is_refused_by_how_much_and_what_would_is_said(
    rl: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    tight = ["--gpu-memory-gb", "0.25", "--reserve-gb", "0.01"]
    assert reprise(rl, *tight) == 1
    out = capsys.readouterr().out
    assert "It does not fit: a rank needs" in out
    assert "GiB too much" in out
    proposal = next(line for line in out.splitlines() if line.strip().startswith("--set learner."))
    changes = proposal.split()
    changes = [word for before, word in itertools.pairwise(changes) if before == "--set"]
    assert changes
    assert reprise(rl, *tight, *(x for change in changes for x in ("--set", change))) == 0


def test_the_longest_row_is_one_that_fits(rl: Path, capsys: pytest.CaptureFixture[str]) -> None:
    memory = ["--gpu-memory-gb", "0.25", "--reserve-gb", "0.01"]
    _, first = planned(capsys, rl, *memory)
    code, again = planned(capsys, rl, *memory, "--set", f"learner.token_budget={first['longest_row']}")
    assert code == 0
    assert again["fits"]
    code, beyond = planned(capsys, rl, *memory, "--set", f"learner.token_budget={first['longest_row'] * 11 // 10}")
    assert code == 1
    assert not beyond["fits"]


def test_json_is_everything_in_bytes(rl: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, said = planned(capsys, rl, "--gpu-memory-gb", "80")
    assert code == 0
    assert said["memory"] == 80 * 2**30
    assert said["total"] == said["by_phase"][said["peak_phase"]] == max(said["by_phase"].values())
    for phase, total in said["by_phase"].items():
        assert total == sum(p["bytes"] for p in said["parts"] if phase in p["phases"] and not p["host"])
    assert said["policies"]["none"]["total"] == said["total"]
    flops = said["flops_a_token"]
    assert said["row_s"] == pytest.approx(flops["total"] * said["row_tokens"] / (0.4 * 989e12))


def test_a_reference_policy_costs_memory_and_a_pass(rl: Path, capsys: pytest.CaptureFixture[str]) -> None:
    _, without = planned(capsys, rl)
    _, with_one = planned(capsys, rl, "--set", "learner.kl_coef=0.1")
    assert with_one["total"] == without["total"] + 4 * without["parameters"]
    assert with_one["flops_a_token"]["extra"] > without["flops_a_token"]["extra"]


def test_an_sft_recipe(tmp_path: Path, policy: dict[str, Any], capsys: pytest.CaptureFixture[str]) -> None:
    stage = {
        "name": "one",
        "sources": [{"name": "a", "path": "conversations.jsonl", "weight": 1.0}],
        "context": 1024,
        "steps": 3,
        "batch_size": 4,
        "lr": 1e-3,
    }
    file = tmp_path / "sft.yaml"
    file.write_text(yaml.safe_dump({"policy": policy, "stages": [stage], "learner": {"token_budget": 1024}}))
    code, said = planned(capsys, file)
    assert code == 0
    assert said["row_tokens"] == 1024
    assert said["batch_tokens"] == 4 * 1024
    assert said["flops_a_token"]["extra"] == 0  # neither entropies nor other policies


@pytest.mark.full  # the recipes of the next test are planned by the same builder
def test_a_builder_that_knows_its_configuration_builds_nothing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    policy = {"build": "reprise.models.motif2.build:build", "build_args": {"preset": "12p7b"}, "dtype": "bfloat16"}
    learner = {"world_size": 8, "sequence_parallel": 8, "zero_stage": 3, "checkpointing": {"policy": "block"}}
    recipe = write_recipe(tmp_path, policy=policy, learner=learner)
    code, said = planned(capsys, recipe, "--gpu-memory-gb", "80")
    assert code == 0
    assert said["parameters"] == 12_703_860_896


@pytest.mark.parametrize("name", [pytest.param("sft_stage1", marks=pytest.mark.full), "rl_64k"])
def test_the_recipes_of_the_large_policy_fit_their_nodes(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    code, plan = planned(capsys, Path(__file__).resolve().parents[2] / "recipes" / "motif2_12p7b" / f"{name}.yaml")
    assert code == 0
    assert plan["total"] == max(plan["by_phase"].values()) < 80 * 2**30
    parts = {part["arithmetic"]: part["bytes"] for part in plan["parts"]}
    (optimiser,) = (size for how, size in parts.items() if how.startswith("12.704e9 x 12 bytes / 16 ranks"))
    assert optimiser == pytest.approx(12_703_860_896 * 12 / 16, rel=1e-6)
    (kept,) = (how for how in parts if how.startswith("40 layers x"))
    assert kept.endswith("at 8,192 tokens (measured; policy attention)")
    if name == "rl_64k":
        in_learner_md(plan)


def in_learner_md(plan: dict[str, Any]) -> None:
    """docs/learner.md shows this plan: its phases and its policies."""
    page = (Path(__file__).resolve().parents[2] / "docs" / "learner.md").read_text(encoding="utf-8")
    [shown] = [block for block in page.split("```") if block.lstrip().startswith("model   Motif")]
    totals = "".join(f"{size / 2**30:>12.2f}" for size in plan["by_phase"].values())
    [total] = [line for line in shown.splitlines() if line.split()[:1] == ["total"]]
    assert total.split()[1:6] == totals.split(), totals
    for name, policy in plan["policies"].items():
        [row] = [line for line in shown.splitlines() if line.split()[:1] == [name]]
        expected = [f"{policy['total'] / 2**30:.2f}", "yes" if policy["fits"] else "no", f"{policy['longest_row']:,}"]
        assert row.replace("◀", "").split()[2:5] == expected, name


def test_more_ranks_than_gpus(rl: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, said = planned(
        capsys, rl, "--gpu-memory-gb", 80, "--nodes", 1, "--gpus-per-node", 2, "--set", "learner.world_size=4"
    )
    assert code == 1
    assert "4 learner ranks need as many GPUs, and 1 nodes x 2 have 2" in said["problems"][0]


def test_host_memory_of_offloaded_states_is_checked(rl: Path, capsys: pytest.CaptureFixture[str]) -> None:
    offloaded = [rl, "--gpu-memory-gb", 80, "--set", "learner.offload.optimizer=true"]
    assert planned(capsys, *offloaded)[0] == 0
    code, said = planned(capsys, *offloaded, "--host-memory-gb", "0.01")
    assert code == 1
    assert "in host memory" in said["problems"][0]


def test_heads_that_cannot_be_shared_are_bad_input(rl: Path) -> None:
    with pytest.raises(UserError, match="cannot be shared evenly by 3 ranks"):
        reprise(rl, "--set", "learner.sequence_parallel=3", "--set", "learner.world_size=3")
    with pytest.raises(UserError, match=r"rollout\.engine\.tensor_parallel 3 does not fit"):
        reprise(rl, "--set", "rollout.engine.tensor_parallel=3")


def test_a_context_that_positions_do_not_reach_is_bad_input() -> None:
    recipe = Path(__file__).resolve().parents[2] / "recipes" / "motif2_12p7b" / "sft_stage2.yaml"
    with pytest.raises(UserError, match=r"stages\.0\.context: 131072 tokens of context are more than the 65536"):
        reprise(recipe, "--set", "stages.0.context=131072", "--set", "learner.token_budget=131072")


def test_a_folder_without_a_configuration_is_bad_input(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"holds no config\.json"):
        reprise(write_recipe(tmp_path, policy={"path": str(tmp_path / "nowhere")}))


def test_help_teaches(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        reprise("--help")
    out = capsys.readouterr().out
    assert "examples:" in out
    assert "exit codes: 0 it fits, 1 it does not" in out
