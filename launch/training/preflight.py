"""What is checked before any actor is started, so that bad input costs seconds and is named exactly.

Each check raises `UserError` naming the key, file or record at fault and what would be right.
"""

from __future__ import annotations

import os
import shutil
import socket
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

from reprise.core.errors import UserError
from reprise.core.files import absence, dangling
from reprise.core.printable import printable
from reprise.core.types import Task
from reprise.data.tasks import TaskSets, check_sources
from reprise.launch.placement.fit import check_engine, check_fit
from reprise.launch.placement.machine import check_shared_memory, check_temporary_folder
from reprise.launch.placement.memory import PolicySize, gib, policy_size
from reprise.launch.placement.nodes import Node, Plan, local_nodes, on_a_cluster
from reprise.launch.placement.plan import plan
from reprise.launch.recipe.schema import Recipe
from reprise.launch.recipe.settings import LearnerPlaces
from reprise.launch.training.prompts import check_prompts
from reprise.launch.training.trial import try_verifiers
from reprise.learner.heads import heads_of
from reprise.learner.settings import LOSSES, SaveSettings, TrainEngineSettings
from reprise.models.policy import check_policy, policy_config, read_config
from reprise.rewards.loading import verifiable
from reprise.rewards.registry import build_verifiers
from reprise.rollout.engine import engine_class
from reprise.rollout.entry_points import check_entry_points

if TYPE_CHECKING:
    from transformers import PreTrainedConfig

# Metrics, report, samples and an offline wandb run of a few thousand steps, beside the policy itself.
_RUN_BYTES = 256 * 2**20
# FlashAttention-2's kernels are made for heads up to this width.
_FLASH_WIDTH = 256


@dataclass(frozen=True, slots=True)
class Preflight:
    """A recipe that may start: its tasks, read and checked, where its actors go, and what was found on the way."""

    tasks: TaskSets
    plan: Plan
    notes: Sequence[str] = ()


def check_here(recipe: Recipe) -> Preflight | None:
    """Before Ray takes its seconds: all checks, and an answer for every verifier to try it on. None on a cluster, whose
    nodes may have what this one lacks."""
    if on_a_cluster():
        return None
    ready = check(recipe, local_nodes())
    return replace(ready, notes=try_verifiers(recipe.rewards, ready.tasks))


def placed(recipe: Recipe, nodes: Sequence[Node], checked: Preflight | None) -> Preflight:
    """With Ray's nodes: what was checked before, placed on them; on a cluster all checks."""
    if checked is None:
        return check(recipe, nodes)
    size = None if recipe.policy.path is None else policy_size(Path(recipe.policy.path))
    return replace(checked, plan=plan(recipe, nodes, size))


def plan_of(recipe: Recipe, ready: Preflight, folder: Path) -> Plan:
    """The plan now that the policy's folder is there; one that was built for the run is checked."""
    return ready.plan if recipe.policy.path else check_folder(recipe, ready.plan.nodes, folder, ready.tasks)


def check(recipe: Recipe, nodes: Sequence[Node]) -> Preflight:
    """All checks that need no policy folder; those of `check_folder` too if `policy.path` already gives one."""
    check_rollout_engine(recipe.rollout.engine.use)
    check_temporary_folder()
    check_policy(recipe.policy)
    config = policy_config(recipe.policy)
    check_fit(recipe, config)
    check_engine(recipe, config)
    check_kernel(recipe.learner, recipe.cluster, recipe.policy.dtype, config)
    check_loss(recipe.learner.loss)
    tasks = check_sources(recipe.data, partial(verifiable, build_verifiers(recipe.rewards)))
    check_domains([*(task for source in tasks.train for task in source), *tasks.held_out])
    if recipe.before is not None:
        from reprise.data.sft.reading import check_records  # imports HF datasets, which takes seconds

        check_records(recipe.before.sft.sources)
    placed = plan(recipe, nodes)
    rank_0 = placed.nodes[placed.of("learner")[0].node]
    if recipe.cluster.learner_port is not None and rank_0.host == nodes[0].host:
        check_port(recipe.cluster.learner_port)
    check_shared_memory(recipe, placed, weights=0)
    check_disk(recipe, None)
    if recipe.policy.path is not None:
        placed = check_folder(recipe, nodes, Path(recipe.policy.path), tasks)
    return Preflight(tasks, placed)


def check_rollout_engine(use: str) -> None:
    """Refuse an engine that lacks a method; for vLLM, an environment whose processes would not find what is ours."""
    if use == "vllm":
        check_entry_points()  # and vLLM is not imported, which takes seconds
    else:
        engine_class(use)


def check_loss(loss: str) -> None:
    """Refuse a loss of the user's that is not there or is none. Those that are built in need not be imported."""
    if loss not in LOSSES:
        from reprise.learner.losses import policy_loss

        policy_loss(loss)


def check_kernel(
    learner: TrainEngineSettings, places: LearnerPlaces, dtype: str, config: PreTrainedConfig | None
) -> None:
    """Refuse a kernel that the learner's devices do not have, or that takes other numbers or narrower heads."""
    if learner.attention == "sdpa":
        return
    if not places.learner_gpus:
        raise UserError(
            f"learner.attention {learner.attention} needs GPUs, and cluster.learner_gpus is 0; use sdpa on CPU"
        )
    if learner.attention != "flash_attention_2":
        return
    if dtype != "bfloat16":
        raise UserError(
            f"learner.attention flash_attention_2 computes in 16 bits, and policy.dtype is {dtype}; set policy.dtype "
            "to bfloat16, or use sdpa or flex_attention"
        )
    if local_nodes()[0].gpus and find_spec("flash_attn") is None:  # else it is not here that it is needed
        raise UserError(
            "learner.attention flash_attention_2 needs the package flash-attn, which is not installed on this machine: "
            "see the head of requirements/gpu.lock, or use sdpa"
        )
    if config is not None and (width := heads_of(config).head_dim) > _FLASH_WIDTH:
        raise UserError(
            f"learner.attention flash_attention_2 takes heads of at most {_FLASH_WIDTH} numbers, and the policy's have "
            f"{width}; use sdpa or flex_attention"
        )


def check_folder(recipe: Recipe, nodes: Sequence[Node], folder: Path, tasks: TaskSets) -> Plan:
    """The checks that need the policy's folder: memory with its weights counted, prompts as tokenized.

    Returns the plan with the weights' memory counted.
    """
    config = read_config(folder)
    check_fit(recipe, config)
    check_engine(recipe, config)
    size = policy_size(recipe, config)
    placed = plan(recipe, nodes, size)
    check_shared_memory(recipe, placed, size.parameters * (2 if recipe.policy.dtype == "bfloat16" else 4))
    check_disk(recipe, size)
    every = [*(task for source in tasks.train for task in source), *tasks.held_out]
    check_prompts(recipe.rollout, folder, config.get_text_config().vocab_size, every)
    return placed


def check_domains(tasks: Sequence[Task]) -> None:
    """Refuse a domain that cannot be the last part of a metric's name: `reward/<domain>`, `eval/pass_at_1/<domain>`."""
    for domain, task in {task.domain: task for task in tasks}.items():
        if "/" in domain or domain in ("mean", "all") or printable(domain) != domain:
            better = printable(domain).replace("/", ".").replace("�", "")
            raise UserError(
                f"task {task.id!r} has the domain {domain!r}, which cannot be part of a metric's name; use one without "
                "slashes and control characters that is neither 'mean' nor 'all', such as "
                f"{better if better and better not in ('mean', 'all') else domain + '_'!r}"
            )


def check_port(port: int) -> None:
    """Refuse a port of this machine that something else listens on."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("", port))
        except OSError as error:
            raise UserError(
                f"cluster.learner_port {port} cannot be used ({error.strerror}); choose another, or null for a free one"
            ) from None


def check_disk(recipe: Recipe, size: PolicySize | None) -> None:
    """Refuse a `runs_dir` that cannot be written or is too full for the run's files, its final policy, checkpoints."""
    check_runs_dir(recipe.runs_dir, run_bytes(recipe.learner, recipe.checkpoints, size))


def run_bytes(learner: TrainEngineSettings, save: SaveSettings, size: PolicySize | None) -> float:
    """What a run may write: its files, the final policy and checkpoints: one more than are kept, or, if none is asked
    for, the one that is written if the run ends early."""
    if size is None:
        return _RUN_BYTES
    kept = (save.keep + 1 if save.every else 1) * size.parameters * (12 if learner.optimizer != "sgd" else 4)
    return _RUN_BYTES + size.parameters * 4 + kept


def check_runs_dir(runs_dir: str, needed: float) -> None:
    """Refuse a `runs_dir` that cannot be written or has less than `needed` bytes free."""
    folder = Path(runs_dir).absolute()
    if (link := dangling(folder)) is not None:
        raise UserError(f"runs_dir {runs_dir}: {absence(link)}; make that folder, or name another")
    there = next(p for p in (folder, *folder.parents) if os.path.exists(p))
    if not there.is_dir():
        raise UserError(f"runs_dir {runs_dir}: {there} is a file; name a folder")
    if not os.access(there, os.W_OK | os.X_OK):
        raise UserError(f"runs_dir {runs_dir}: no permission to write in {there}; choose another folder")
    free = shutil.disk_usage(there).free
    if free < needed:
        raise UserError(f"runs_dir {runs_dir}: {gib(free)} free, the run may write {gib(needed)}; make room")
