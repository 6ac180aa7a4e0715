"""TRL's GRPOTrainer on what `bench/peers.py` wrote to a folder; runs in TRL's own interpreter (requirements/bench.txt).

Reads `FOLDER/settings.json` and `FOLDER/tasks.jsonl`, writes the policy to `FOLDER/checkpoints/<step>` about every
`checkpoint_every_s` seconds of its clock, and last of all `FOLDER/steps.json`: one entry a step. Rewards come from our
verifiers. The clock starts when the trainer is ready for its first step and stands still while a checkpoint is saved.
"""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
from datasets import Dataset
from transformers import AutoModelForCausalLM, AutoTokenizer, TrainerCallback, TrainerControl
from transformers.utils import logging
from trl import GRPOConfig, GRPOTrainer

import reprise.models.motif2  # noqa: F401  so that the Auto classes know the demo's policy
from reprise.core.types import Status, Task
from reprise.rewards.base import Answer, Verifier
from reprise.rewards.registry import build_verifiers
from reprise.rewards.settings import RewardSettings
from reprise.rollout.chat import ChatCodec


class Judge:
    """TRL's reward function: our verdict's score. TRL has no unparseable answers: they score 0, as is usual there."""

    __name__ = "verdict"  # TRL asks a reward function for its name

    def __init__(self, verifiers: dict[str, Verifier], tasks: list[Task], codec: ChatCodec) -> None:
        self._verifiers, self._tasks, self._codec = verifiers, tasks, codec
        self.called = 0.0

    def __call__(self, completion_ids: list[list[int]], task: list[int], **_: Any) -> list[float]:
        self.called = time.monotonic()
        answers = [self._answer(self._tasks[index], ids) for index, ids in zip(task, completion_ids, strict=True)]
        scores = [0.0] * len(answers)
        for name, verifier in self._verifiers.items():
            mine = [i for i, answer in enumerate(answers) if answer.task.verifier == name]
            for i, verdict in zip(mine, verifier.verify([answers[i] for i in mine]), strict=True):
                scores[i] = verdict.score if verdict.status is Status.SCORED else 0.0
        return scores

    def _answer(self, task: Task, ids: list[int]) -> Answer:
        text = self._codec.text(self._codec.prompt_ids(task), np.asarray(ids, dtype=np.int32))
        return Answer(task, text, truncated=not ids or ids[-1] not in self._codec.stop_ids)


class Clock(TrainerCallback):
    """Times the steps, saves the policy along the way, and ends training when the time is over."""

    def __init__(self, folder: Path, judge: Judge, tokenizer: Any, seconds: float, every_s: float) -> None:
        self._folder, self._judge, self._tokenizer = folder, judge, tokenizer
        self._seconds, self._every_s = seconds, every_s
        self.steps: list[dict[str, Any]] = []

    def on_train_begin(self, *_: Any, **__: Any) -> None:
        self._started, self._next_save = time.monotonic(), self._every_s

    def on_step_begin(self, *_: Any, **__: Any) -> None:
        self._step_started = time.monotonic()

    def on_step_end(self, args: Any, state: Any, control: TrainerControl, *, model: Any, **_: Any) -> None:
        now = time.monotonic()
        elapsed = now - self._started
        over = elapsed >= self._seconds or state.global_step >= state.max_steps
        saved = over or elapsed >= self._next_save
        generated = self._judge.called - self._step_started
        timed = {"seconds": elapsed, "generate": generated, "learn": now - self._judge.called}
        self.steps.append({"step": state.global_step, "checkpoint": saved, **timed})
        if saved:
            target = self._folder / "checkpoints" / str(state.global_step)
            model.save_pretrained(target)
            self._tokenizer.save_pretrained(target)
            self._next_save = elapsed + self._every_s
            self._started += time.monotonic() - now
        control.should_training_stop = over


def main(folder: Path) -> None:
    """Train until the time or the schedule is over."""
    settings = json.loads((folder / "settings.json").read_text(encoding="utf-8"))
    tasks = [Task(**json.loads(line)) for line in (folder / "tasks.jsonl").read_text(encoding="utf-8").splitlines()]
    torch.set_num_threads(settings["threads"])
    logging.disable_progress_bar()
    tokenizer = AutoTokenizer.from_pretrained(settings["policy"])
    verifiers = build_verifiers(RewardSettings.model_validate(settings["rewards"]))
    for verifier in verifiers.values():
        verifier.start()
    judge = Judge(verifiers, tasks, ChatCodec(Path(settings["policy"])))
    clock = Clock(folder, judge, tokenizer, settings["seconds"], settings["checkpoint_every_s"])
    trainer = GRPOTrainer(
        model=AutoModelForCausalLM.from_pretrained(settings["policy"], dtype=torch.float32),
        reward_funcs=judge,
        args=GRPOConfig(
            output_dir=str(folder / "trainer"),
            # What both systems share.
            **settings["grpo"],
            # The same objective as ours: token mean over the batch, mean-centred advantages, no KL term.
            loss_type="dapo",
            scale_rewards="none",
            beta=0.0,
            shuffle_dataset=False,
            # As fast as this machine allows.
            use_cpu=True,
            bf16=False,
            gradient_checkpointing=False,
            report_to="none",
            save_strategy="no",
            logging_strategy="no",
            disable_tqdm=True,
        ),
        train_dataset=Dataset.from_list([{"prompt": task.messages(), "task": i} for i, task in enumerate(tasks)]),
        processing_class=tokenizer,
        callbacks=[clock],
    )
    trainer.train()
    for verifier in verifiers.values():
        verifier.close()
    (folder / "steps.json").write_text(json.dumps(clock.steps), encoding="utf-8")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
