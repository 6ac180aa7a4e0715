"""`reprise` beside TRL's GRPOTrainer: seconds and rollouts until the held-out pass@1 that TRL reaches in a given time.

    python bench/peers.py --trl-python /path/to/trl/bin/python

Both start from one policy folder and train on the same stream of tasks with the recipe's group size, learning rate,
schedule, clip range, temperature and token limit, each with all cores of the machine, one after the other. `reprise` is
its own training script with the recipe as it is, TRL is `bench/peers_trl.py`. Each leaves checkpoints; both sets are
then evaluated by `bench/held_out.py`, off the clock. TRL's environment: head of requirements/bench.txt.

A stage whose result is already in `--out` is not run again: an interrupted comparison continues where it stopped.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any
from unittest import mock

from held_out import held_out
from peers_table import Point, show
from rich.console import Console

from reprise.actors.learner_group import LearnerGroup
from reprise.core.errors import UserError
from reprise.core.types import Task
from reprise.data.stream import TaskStream
from reprise.data.tasks import TaskSets, check_sources
from reprise.launch.recipe.loading import load
from reprise.launch.recipe.schema import Recipe
from reprise.launch.training.quiet import quiet_libraries
from reprise.launch.training.rl import train
from reprise.rewards.loading import verifiable
from reprise.rewards.registry import build_verifiers

ROOT = Path(__file__).resolve().parent.parent


class CheckpointingLearner(LearnerGroup):
    """The learner group of a run, which also saves the policy about every `every_s` seconds, the first one included."""

    def __init__(self, folder: Path, every_s: float, *arguments: Any) -> None:
        super().__init__(*arguments)
        self._folder, self._every_s, self._next = folder, every_s, 0.0

    async def publish(self, version: int) -> Any:
        report = await super().publish(version)
        now = time.monotonic()
        if now >= self._next:
            await self.export(self._folder / str(version))
            self._next = now + self._every_s
        return report


def warm_policy(args: argparse.Namespace) -> Path:
    """The folder both start from: the recipe's policy as RL begins."""
    policy = args.out / "policy"
    if not policy.exists():
        _train(args, "warm", ["steps=1", "eval.final_tasks_per_domain=1"])
        (args.out / "warm-checkpoints" / "0").rename(policy)
    return policy


def run_trl(args: argparse.Namespace, recipe: Recipe, tasks: TaskSets, policy: Path) -> list[dict[str, Any]]:
    """TRL's steps: `step`, `seconds` since it was ready, `generate`, `learn`, and whether there is a `checkpoint`."""
    folder = args.out / "trl"
    if not (folder / "steps.json").exists():
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        settings = trl_settings(args, recipe, policy)
        (folder / "settings.json").write_text(json.dumps(settings, indent=1), encoding="utf-8")
        count = settings["grpo"]["max_steps"] * recipe.buffer.batch_groups
        stream = islice(TaskStream(tasks.train, tasks.weights, recipe.seed), count)
        lines = "".join(json.dumps(asdict(task)) + "\n" for task in stream)
        (folder / "tasks.jsonl").write_text(lines, encoding="utf-8")
        quiet = {"HF_HUB_OFFLINE": "1", "TOKENIZERS_PARALLELISM": "false", "TRANSFORMERS_VERBOSITY": "error"}
        importable = folder / "importable"  # TRL's interpreter has no reprise installed
        importable.mkdir()
        (importable / "reprise").symlink_to(ROOT, target_is_directory=True)
        ours_and_all_cores = {"PYTHONPATH": str(importable.absolute()), "OMP_NUM_THREADS": str(settings["threads"])}
        command = [args.trl_python, str(ROOT / "bench" / "peers_trl.py"), str(folder)]
        subprocess.run(command, env=os.environ | quiet | ours_and_all_cores, check=True)
    return json.loads((folder / "steps.json").read_text(encoding="utf-8"))


def trl_settings(args: argparse.Namespace, recipe: Recipe, policy: Path) -> dict[str, Any]:
    """What `peers_trl.py` needs of the recipe, in TRL's words."""
    learner, rollout = recipe.learner, recipe.rollout
    if recipe.buffer.normalize_std:
        raise UserError("buffer.normalize_std: peers_trl.py asks TRL for mean-centred advantages; set it to false")
    return {
        "policy": str(policy.absolute()),
        "rewards": recipe.rewards.model_dump(mode="json"),
        "seconds": args.seconds,
        "checkpoint_every_s": args.checkpoint_every,
        "threads": os.cpu_count(),
        "grpo": {
            "seed": recipe.seed,
            "per_device_train_batch_size": recipe.buffer.batch_groups * rollout.group_size,
            "num_generations": rollout.group_size,
            "max_completion_length": rollout.max_response_tokens,
            "temperature": rollout.temperature,
            "epsilon": 1 - learner.ratio_bounds[0],
            "epsilon_high": learner.ratio_bounds[1] - 1,
            "delta": learner.dual_clip,
            "learning_rate": learner.lr,
            "lr_scheduler_type": "cosine" if learner.schedule == "cosine" else "constant_with_warmup",
            "warmup_steps": learner.warmup_steps // learner.steps_per_batch,
            # TRL makes one optimiser step a batch.
            "max_steps": (learner.decay_steps or recipe.steps * learner.steps_per_batch) // learner.steps_per_batch,
            "adam_beta1": learner.betas[0],
            "adam_beta2": learner.betas[1],
            "adam_epsilon": learner.eps,
            "weight_decay": learner.weight_decay,
            "max_grad_norm": learner.grad_clip,
        },
    }


def run_reprise(args: argparse.Namespace, policy: Path) -> list[dict[str, Any]]:
    """The metrics of our steps."""
    if not (args.out / "reprise" / "summary.json").exists():
        _train(args, "reprise", [f"policy.path={policy.absolute()}", "before=null", "eval.final_tasks_per_domain=30"])
    lines = (args.out / "reprise" / "metrics.jsonl").read_text(encoding="utf-8").splitlines()
    return [metrics for metrics in map(json.loads, lines) if "time/step" in metrics]


def _train(args: argparse.Namespace, name: str, overrides: Sequence[str]) -> None:
    """The training script itself, with checkpoints in `<name>-checkpoints`, and no evaluation while the clock runs."""
    checkpoints = args.out / f"{name}-checkpoints"
    for left_over in (args.out / name, checkpoints):
        shutil.rmtree(left_over, ignore_errors=True)
    common = [f"runs_dir={args.out}", f"name={name}", "eval.every=0", "tracking.wandb=disabled"]
    learner = partial(CheckpointingLearner, checkpoints.absolute(), args.checkpoint_every)
    with mock.patch("reprise.launch.training.cluster.LearnerGroup", learner):
        train(load(args.recipe, [*args.set, *common, *overrides]))


class Judge:
    """pass@1 of checkpoints, remembered in `--out`."""

    def __init__(self, args: argparse.Namespace, recipe: Recipe, tasks: Sequence[Task]) -> None:
        self._samples, self._recipe, self._tasks = args.samples, recipe, tasks
        self._file = args.out / "held_out.json"
        self._known = json.loads(self._file.read_text(encoding="utf-8")) if self._file.exists() else {}
        self._verifiers = build_verifiers(recipe.rewards)

    def __enter__(self) -> Judge:
        for verifier in self._verifiers.values():
            verifier.start()
        return self

    def __exit__(self, *_: object) -> None:
        for verifier in self._verifiers.values():
            verifier.close()

    def __call__(self, policy: Path) -> float:
        key = f"{policy}, {self._samples} samples"
        if key not in self._known:
            rollout = self._recipe.rollout
            result = held_out(
                policy,
                self._tasks,
                self._verifiers,
                samples=self._samples,
                temperature=rollout.temperature,
                max_tokens=rollout.max_response_tokens,
                seed=self._recipe.seed,
            )
            self._known[key] = result.pass_at_1
            self._file.write_text(json.dumps(self._known, indent=1), encoding="utf-8")
            print(f"{policy}: {json.dumps({name: round(p, 3) for name, p in result.pass_at_1.items()})}", flush=True)
        return self._known[key]["all"]


def main() -> None:
    args = _parser().parse_args()
    quiet_libraries()
    recipe = load(args.recipe, args.set)
    tasks = check_sources(recipe.data, partial(verifiable, build_verifiers(recipe.rewards)))
    if subprocess.run([args.trl_python, "-c", "import trl"], capture_output=True).returncode:
        raise UserError(
            f"{args.trl_python} cannot import trl: see the head of requirements/bench.txt, and --trl-python"
        )
    args.out.mkdir(parents=True, exist_ok=True)
    policy = args.policy or warm_policy(args)
    trl = run_trl(args, recipe, tasks, policy)
    ours = run_reprise(args, policy)

    with Judge(args, recipe, tasks.held_out) as judge:
        start = Point(0.0, 0, 0, judge(policy))
        curves: dict[str, list[Point]] = {"reprise": [start], "TRL": [start]}
        seconds, rollouts = 0.0, 0
        for metrics in ours:
            seconds, rollouts = seconds + metrics["time/step"], rollouts + int(metrics["trajectories/sampled"])
            folder = args.out / "reprise-checkpoints" / str(metrics["step"])
            if folder.exists():
                curves["reprise"].append(Point(seconds, rollouts, metrics["step"], judge(folder)))
        a_step = recipe.buffer.batch_groups * recipe.rollout.group_size
        for step in trl:
            if step["checkpoint"]:
                folder = args.out / "trl" / "checkpoints" / str(step["step"])
                curves["TRL"].append(Point(step["seconds"], step["step"] * a_step, step["step"], judge(folder)))
    show(Console(width=max(Console().width, 120)), curves, ours, trl)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--recipe", type=Path, default=ROOT / "recipes" / "demo.yaml")
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help="override a key of the recipe")
    parser.add_argument("--policy", type=Path, help="folder to start from (default: what the recipe makes before RL)")
    parser.add_argument("--trl-python", default=sys.executable, metavar="PATH", help="interpreter that has TRL")
    parser.add_argument("--seconds", type=float, default=170.0, help="TRL's training time")
    parser.add_argument("--checkpoint-every", type=float, default=10.0, metavar="S", help="seconds between checkpoints")
    parser.add_argument("--samples", type=int, default=2, help="responses a held-out task, in evaluating checkpoints")
    parser.add_argument("--out", type=Path, default=ROOT / "runs" / "peers", help="where everything is kept")
    return parser


if __name__ == "__main__":
    try:
        main()
    except UserError as error:
        sys.exit(f"peers: {error}")
