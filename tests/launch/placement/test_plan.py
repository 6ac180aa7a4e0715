"""Where actors go, and what is said when they cannot."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from recipe_files import SMALL, write_recipe
from transformers import Qwen3Config

from reprise.core.errors import UserError
from reprise.launch.placement.memory import (
    GIB,
    PolicySize,
    cache_per_token,
    check_cache_holds_a_sequence,
    engine_parts,
    policy_size,
    rank_parts,
)
from reprise.launch.placement.nodes import Node, local_nodes
from reprise.launch.placement.plan import bundles, plan, split_rows
from reprise.launch.planner.outcome import Machine, plan_recipe
from reprise.launch.recipe.loading import load, validate
from reprise.launch.recipe.schema import Recipe
from reprise.learner.planning.budget import ACTIVATIONS, WORK
from reprise.learner.planning.parts import PHASES
from reprise.models.motif2.configuration import PRESETS, Motif2Config
from reprise.models.policy import read_config

ROOT = Path(__file__).resolve().parents[3]

LAPTOP = Node(cpus=2, gpus=0, memory=16 * GIB)
EXACT = "rewards.verifiers.exact"
NCCL = ("weights.transport=nccl", "cluster.learner_gpus=1", "cluster.engine_gpus=1")


def where(recipe: Recipe, *nodes: Node) -> dict[str, int]:
    """The node of each actor, by name."""
    return {p.name: p.node for p in plan(recipe, nodes).placements}


@pytest.fixture
def recipe(tmp_path: Path):
    """Makes the small recipe with overrides."""
    return lambda *overrides: load(write_recipe(tmp_path), overrides)


def test_a_laptop_holds_the_whole_run(recipe) -> None:
    made = plan(recipe(), [LAPTOP])
    assert [p.name for p in made.placements] == ["driver", "learner 0", "engine 0", "verifier exact 0", "buffer"]
    assert {p.node for p in made.placements} == {0}
    assert [(p.cpus, p.gpus) for p in (*made.of("learner"), *made.of("engine"))] == [(1, 0), (1, 0)]


def test_two_hosts_both_take_part_and_shared_memory_keeps_learner_and_engine_together(recipe) -> None:
    placed = where(recipe("rewards.verifiers.exact.workers=2"), Node(2, 0, 16 * GIB, "a"), Node(2, 0, 16 * GIB, "b"))
    assert placed["learner 0"] == placed["engine 0"] == placed["driver"] == placed["buffer"] == 0
    assert placed["verifier exact 0"] == placed["verifier exact 1"] == 1


def test_two_nodes_of_one_host_share_its_memory_so_the_engine_may_move(recipe) -> None:
    placed = where(recipe(), Node(2, 0, 16 * GIB, "a"), Node(2, 0, 16 * GIB, "a"))
    assert (placed["learner 0"], placed["engine 0"]) == (0, 1)


def test_the_other_host_is_taken_if_only_that_is_large_enough(recipe) -> None:
    placed = where(recipe("learner.world_size=2"), Node(1, 0, 16 * GIB, "head"), Node(2, 0, 16 * GIB, "b"))
    assert placed["learner 0"] == placed["engine 0"] == 1
    assert placed["driver"] == placed["learner 1"] == 0


def test_engines_over_nccl_spread_and_learner_ranks_stay_together(recipe) -> None:
    made = recipe(*NCCL, "learner.world_size=4", "rollout.engines=4")
    placed = where(made, Node(16, 4, 200 * GIB, "a"), Node(16, 4, 200 * GIB, "b"))
    assert {placed[f"learner {i}"] for i in range(4)} == {0}
    assert {placed[f"engine {i}"] for i in range(4)} == {1}


def test_an_engine_over_eight_gpus_gets_the_node_that_has_them(recipe) -> None:
    made = recipe(*NCCL, "learner.world_size=4", "rollout.engine.tensor_parallel=8")
    placed = where(made, Node(16, 8, 200 * GIB, "a"), Node(16, 4, 200 * GIB, "b"))
    assert (placed["engine 0"], placed["learner 0"], placed["learner 3"]) == (0, 1, 1)


def test_learner_and_engine_share_one_gpu_over_ipc(recipe) -> None:
    made = recipe("weights.transport=ipc", "cluster.learner_gpus=0.4", "cluster.engine_gpus=0.6")
    assert where(made, Node(8, 1, 64 * GIB))["engine 0"] == 0


def test_a_verifier_goes_where_its_custom_resource_is_offered(recipe) -> None:
    asked = recipe(f"{EXACT}.resources={{judge_host: 1}}", f"{EXACT}.workers=2")
    offering = Node(8, 0, 64 * GIB, "b", resources={"judge_host": 2, "other": 1})
    placed = plan(asked, [Node(8, 0, 64 * GIB, "a"), offering])
    assert [(p.node, dict(p.resources)) for p in placed.of("verifier")] == [(1, {"judge_host": 1})] * 2


@pytest.mark.parametrize(
    ("overrides", "nodes", "message"),
    [
        (
            ["learner.world_size=2"],
            [LAPTOP],
            "the run needs 2 learner x 1 CPU + 1 engine x 1 CPU = 3 CPUs, the machine has 2 CPUs; try fewer",
        ),
        (["cluster.engine_cpus=4"], [LAPTOP], "engine 0 needs 4 CPUs, the machine has 2 CPUs"),
        (["cluster.engine_cpus=4"], [LAPTOP] * 2, "engine 0 needs 4 CPUs, the largest node has 2 CPUs"),
        (NCCL, [Node(8, 1, 64 * GIB)], "needs 1 learner x 1 GPU + 1 engine x 1 GPU = 2 GPUs, the machine has 1 GPU"),
        (NCCL, [LAPTOP], "learner 0 needs 1 GPU, the machine has 0 GPUs"),
        (
            ["rollout.engine.kv_cache_gb=64"],
            [LAPTOP],
            "too little memory for the engine's cache: one engine needs 1.5 GiB libraries + 64 GiB cache = 65.5 GiB, "
            "the machine has 16 GiB; lower rollout.engine.kv_cache_gb to at most 14.5",
        ),
        (["cluster.process_memory_gb=20"], [LAPTOP], "= 21 GiB, the machine has 16 GiB; use a larger machine"),
        (
            ["rollout.engines=2", "cluster.engine_cpus=0.5", "rollout.engine.kv_cache_gb=6"],
            [LAPTOP],
            "1 learner x 1.5 GiB + 2 engine x 7.5 GiB + 1 buffer x 0.00931 GiB = 16.5 GiB, the machine has 16 GiB",
        ),
        (
            [f"{EXACT}.resources={{judge_host: 1}}"],
            [LAPTOP],
            "verifier exact 0 needs 1 judge_host, the machine has 0 judge_host; change rewards.verifiers.*.resources, "
            "or offer more of it with ray start --resources",
        ),
        (
            [f"{EXACT}.resources={{judge_host: 2}}", f"{EXACT}.workers=2"],
            [Node(2, 0, 16 * GIB, resources={"judge_host": 3})],
            "the run needs 2 verifier x 2 judge_host = 4 judge_host, the machine has 3 judge_host",
        ),
        ([f"{EXACT}.gpus=1"], [LAPTOP], "verifier exact 0 needs 1 GPU, the machine has 0 GPUs"),
        (
            ["rollout.engines=3"],
            [Node(2, 0, 16 * GIB, "a"), Node(2, 0, 16 * GIB, "b")],
            "weights.transport shared_memory keeps learner rank 0 and all engines on one host, which needs 1 learner x "
            "1 CPU + 3 engine x 1 CPU = 4 CPUs, the largest host has 2 CPUs",
        ),
        (
            ["rollout.engines=3", "cluster.engine_cpus=2", "cluster.learner_cpus=0"],
            [Node(3, 0, 16 * GIB), Node(3, 0, 16 * GIB)],
            "fits into the nodes' sum but not node by node, as no actor spans two: 3 engine x 2 CPUs = 6 CPUs of "
            "3 CPUs + 3 CPUs",
        ),
    ],
)
def test_what_does_not_fit_is_refused_with_the_arithmetic(recipe, overrides, nodes, message) -> None:
    with pytest.raises(UserError) as refused:
        plan(recipe(*overrides), nodes)
    assert message in str(refused.value)


def test_a_node_is_reserved_as_a_whole(recipe) -> None:
    made = plan(
        recipe(f"{EXACT}.workers=2", f"{EXACT}.cpus=0.5"), [Node(2, 0, 16 * GIB, "a"), Node(2, 0, 16 * GIB, "b")]
    )
    assert [[p.name for p in part] for part in bundles(made)] == [
        ["driver", "learner 0", "engine 0", "buffer"],
        ["verifier exact 0", "verifier exact 1"],
    ]


def test_what_asks_for_nothing_is_reserved_nothing(recipe) -> None:
    made = plan(recipe(f"{EXACT}.cpus=0"), [Node(2, 0, 16 * GIB, "a"), Node(2, 0, 16 * GIB, "b")])
    assert [p.name for p in made.on(1)] == ["verifier exact 0"]
    assert [part[0].node for part in bundles(made)] == [0]


def test_actors_that_share_a_gpu_are_reserved_together(recipe) -> None:
    """One by one, 0.4, 0.5, 0.6 and 0.5 of two GPUs leave 0.1 and 0.4 for the last."""
    ipc = ("weights.transport=ipc", "cluster.learner_gpus=0.4", "cluster.engine_gpus=0.6")
    made = plan(recipe(*ipc, f"{EXACT}.gpus=0.5", f"{EXACT}.workers=2"), [Node(8, 2, 64 * GIB)])
    assert [[p.name for p in part] for part in bundles(made)] == [
        ["driver", "buffer"],
        ["engine 0", "learner 0"],
        ["verifier exact 0", "verifier exact 1"],
    ]


def test_parts_of_gpus_that_fit_their_sum_but_no_single_one_are_refused(recipe) -> None:
    asked = recipe(f"{EXACT}.gpus=0.6", f"{EXACT}.workers=3")
    plan(asked, [Node(8, 3, 64 * GIB)])
    with pytest.raises(UserError, match=r"3 verifier x 0\.6 GPUs = 1\.8 GPUs of 2 GPUs"):
        plan(asked, [Node(8, 2, 64 * GIB)])


@given(
    ranks=st.integers(1, 6),
    engines=st.integers(1, 6),
    workers=st.integers(1, 3),
    cpus=st.sampled_from([0, 0.1, 0.5, 1, 2]),
    nodes=st.lists(
        st.tuples(st.integers(0, 8), st.integers(0, 12), st.sampled_from("ab"), st.integers(0, 3)),
        min_size=1,
        max_size=4,
    ),
)
def test_no_node_is_ever_given_more_than_it_has(ranks, engines, workers, cpus, nodes) -> None:
    values = {
        **SMALL,
        "name": "x",
        "rewards": {
            "verifiers": {"exact": {"use": "exact", "workers": workers, "cpus": cpus / 2, "resources": {"seat": 1}}}
        },
        "learner": {"world_size": ranks},
        "rollout": {"engines": engines},
        "cluster": {"learner_cpus": cpus, "engine_cpus": cpus},
    }
    there = [Node(c, 0, m * GIB, host, {"seat": seats}) for c, m, host, seats in nodes]
    try:
        made = plan(validate(values, {}), there)
    except UserError:
        return
    assert len(made.placements) == 2 + ranks + engines + workers
    assert made.placements[0].node == 0
    for number, node in enumerate(there):
        assert sum(p.cpus for p in made.on(number)) <= node.cpus + 1e-6
        assert sum(p.memory for p in made.on(number)) <= node.memory + 1e-6
        assert sum(p.resources.get("seat", 0) for p in made.on(number)) <= node.resources["seat"]
    bound = {there[p.node].host for p in (made.of("learner")[0], *made.of("engine"))}
    assert len(bound) == 1


QWEN: dict[str, Any] = {
    "vocab_size": 512,
    "hidden_size": 64,
    "intermediate_size": 64,
    "num_attention_heads": 4,
    "head_dim": 16,
}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A policy's configuration alone."""
    Qwen3Config(num_hidden_layers=2, num_key_value_heads=2, tie_word_embeddings=False, **QWEN).save_pretrained(tmp_path)
    return tmp_path


@pytest.mark.parametrize(
    "overrides",
    [
        (),
        ("policy.dtype=bfloat16", "learner.kl_coef=0.1"),
        ("learner.world_size=2", "learner.zero_stage=3", "learner.optimizer=muon"),
        ("learner.world_size=2", "learner.zero_stage=2", "learner.optimizer=sgd"),
        ("weights.transport=nccl", "cluster.learner_gpus=1", "cluster.engine_gpus=1", "learner.offload.optimizer=true"),
    ],
)
def test_a_learner_rank_takes_what_the_planner_says_without_activations(recipe, folder, tmp_path, overrides) -> None:
    chosen = [f"policy.path={folder}", *overrides]
    size = policy_size(recipe(*chosen), read_config(folder))
    whole = plan_recipe(write_recipe(tmp_path), chosen, Machine()).budget
    measured = {ACTIVATIONS, WORK, "logits and loss", "fixed overhead"}
    states = [part for part in whole.parts if part.kind not in measured]
    on_host = sum(part.size for part in states if part.host)
    by_phase = [sum(part.size for part in states if phase in part.phases) for phase in PHASES]
    assert sum(size.rank.values()) == (on_host if "cluster.learner_gpus=1" in overrides else max(by_phase)) > 0
    assert sum(rank_parts(recipe(*chosen), size).values()) == sum(size.rank.values()) + 1.5 * GIB


def test_memory_counts_weights_gradients_and_moments_as_zero_shards_them(recipe, folder) -> None:
    config = read_config(folder)
    one = policy_size(recipe(), config)
    count = one.parameters
    assert count == 2 * 512 * 64 + 2 * (2 * 64 * 64 + 2 * 32 * 64 + 2 * 16 + 3 * 64 * 64 + 2 * 64) + 64
    # The step: gradients whole, of this rank, and flat; master weights, moments and AdamW's temporaries.
    assert one.rank == {"parameters": 4 * count, "gradients": 8 * count, "optimiser": 20 * count}
    sharded = policy_size(recipe("learner.world_size=2", "learner.zero_stage=3"), config)
    assert sharded.rank["optimiser"] == 12 * count / 2
    assert sharded.rank["parameters"] < 0.6 * one.rank["parameters"]
    assert engine_parts(recipe("policy.dtype=bfloat16"), PolicySize(10**9))["weights"] == 2e9


def test_a_learner_rank_that_is_too_large_is_refused_with_its_parts(recipe) -> None:
    size = PolicySize(10**9, {"parameters": 4 * GIB, "optimiser": 12 * GIB})
    with pytest.raises(UserError) as refused:
        plan(recipe(), [LAPTOP], size)
    assert str(refused.value) == (
        "too little memory for a learner rank: one needs 1.5 GiB libraries + 4 GiB parameters + 12 GiB optimiser = "
        "17.5 GiB beside its activations, the machine has 16 GiB; try a higher learner.zero_stage over more "
        "learner.world_size, or larger nodes; `reprise plan` says what fits"
    )


def test_a_cache_smaller_than_one_sequence_is_refused(recipe) -> None:
    small = recipe("rollout.engine.kv_cache_gb=0.01", "rollout.engine.max_model_len=8192")
    heads: dict[str, Any] = {"num_attention_heads": 8, "num_key_value_heads": 1, "head_dim": 10}
    check_cache_holds_a_sequence(small, Qwen3Config(num_hidden_layers=15, **heads))
    with pytest.raises(UserError, match=r"max_model_len 8192 x 4,000 bytes a token = 0\.0305 GiB; raise"):
        check_cache_holds_a_sequence(small, Qwen3Config(num_hidden_layers=50, **heads))


@pytest.mark.parametrize(("ranks", "share"), [(1, 1), (2, 2), (4, 4), (8, 4)])
def test_each_gpu_holds_the_cache_of_its_own_key_value_heads(recipe, ranks: int, share: int) -> None:
    """Heads that are fewer than the ranks stand in several: 8 ranks with 4 heads hold one each."""
    config = Qwen3Config(num_hidden_layers=16, num_attention_heads=8, num_key_value_heads=4, head_dim=128)
    needed = 2 * 16 * 4 * 128 * 4 * 8192 / GIB / share
    engine = ("rollout.engine.max_model_len=8192", f"rollout.engine.tensor_parallel={ranks}")
    check_cache_holds_a_sequence(recipe(*engine, f"rollout.engine.kv_cache_gb={needed}"), config)
    with pytest.raises(UserError, match=rf"= {needed:.3g} GiB" + (f" on each of its {ranks} ranks;" * (ranks > 1))):
        check_cache_holds_a_sequence(recipe(*engine, f"rollout.engine.kv_cache_gb={needed * 0.99}"), config)


def test_an_engine_of_several_cpu_ranks_has_as_many_caches_and_processes(recipe) -> None:
    parts = engine_parts(recipe("rollout.engine.tensor_parallel=2", "rollout.engine.kv_cache_gb=3"), None)
    assert parts["cache"] == 6 * GIB
    assert parts["libraries"] == 3 * GIB
    with pytest.raises(UserError, match=r"too little memory .* 3 GiB libraries \+ 20 GiB cache .* to at most 6\.5"):
        plan(recipe("rollout.engine.tensor_parallel=2", "rollout.engine.kv_cache_gb=10"), [LAPTOP])


@pytest.mark.parametrize("preset", ["tiny", "small", "12p7b"])
def test_motif_2_s_cache_is_counted_as_the_engine_lays_it_out(preset: str) -> None:
    config = Motif2Config(**PRESETS[preset])
    as_published = 2 * config.num_hidden_layers * config.num_key_value_heads * config.head_dim
    assert cache_per_token(config) == as_published
    if preset == "12p7b":
        assert cache_per_token(config) * 2 * 65_536 == 21_474_836_480  # 21.5 GB a sequence of 64K tokens in bfloat16


def test_this_machine_is_a_node_with_cpus_and_memory() -> None:
    (node,) = local_nodes()
    assert node.cpus >= 1
    assert node.memory > 10**8
    assert node.gpus >= 0


def test_no_gpu_is_counted_that_the_process_may_not_see(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("glob.glob", lambda pattern: ["/dev/nvidia0", "/dev/nvidia1"])
    counted = []
    for visible in (None, "", "-1", "1", "0,1", "0,1,2"):
        if visible is None:
            monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
        else:
            monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
        counted.append(local_nodes()[0].gpus)
    assert counted == [2, 0, 0, 1, 2, 2]


def test_ranks_that_share_rows_are_on_one_host_where_they_fit() -> None:
    recipe = load(ROOT / "recipes" / "motif2_12p7b" / "rl_64k.yaml")
    made = plan(recipe, [Node(96, 8, 1500 * 2**30, f"host {i}") for i in range(4)])
    hosts = [made.nodes[p.node].host for p in made.of("learner")]
    assert [len(set(hosts[:8])), len(set(hosts[8:]))] == [1, 1]
    assert split_rows(made, 8) == []
    assert "share rows" in split_rows(made, 16)[0]
