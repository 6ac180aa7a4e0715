"""Held-out pass@1 of a policy folder with transformers alone: no part of either system that is compared."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from transformers import AutoModelForCausalLM, GenerationConfig

import reprise.models.motif2  # noqa: F401  so that the Auto classes know the demo's policy
from reprise.core.types import Status, Task
from reprise.launch.reporting.statistics import EvalRecord, Evaluation
from reprise.rewards.base import Answer, Verifier
from reprise.rollout.chat import ChatCodec

# Responses a call of generate: enough to keep two cores busy, few enough for long prompts not to pad short ones.
_ROWS = 512


@torch.inference_mode()
def held_out(
    policy: Path,
    tasks: Sequence[Task],
    verifiers: Mapping[str, Verifier],
    *,
    samples: int,
    temperature: float,
    max_tokens: int,
    seed: int,
) -> Evaluation:
    """pass@1 of the policy in a Hugging Face folder, over `samples` responses a task. The verifiers are started."""
    torch.set_num_threads(os.cpu_count() or 1)
    torch.manual_seed(seed)
    model = AutoModelForCausalLM.from_pretrained(policy, dtype=torch.float32).eval()
    codec = ChatCodec(policy)
    sampling = GenerationConfig(
        do_sample=True,
        temperature=temperature,
        top_k=0,
        top_p=1.0,
        max_new_tokens=max_tokens,
        eos_token_id=list(codec.stop_ids),
        pad_token_id=model.config.pad_token_id,
    )
    # Prompts of like length together: less padding.
    asked = sorted(
        ((codec.prompt_ids(task), task, i) for task in tasks for i in range(samples)), key=lambda a: len(a[0])
    )
    records: list[EvalRecord] = []
    for start in range(0, len(asked), _ROWS):
        rows = asked[start : start + _ROWS]
        responses = _responses(model, [prompt for prompt, _, _ in rows], sampling)
        records += _judged([(task, i) for _, task, i in rows], list(responses), codec, verifiers)
    return Evaluation.of(records)


def _responses(
    model: Any, prompts: Sequence[np.ndarray], sampling: GenerationConfig
) -> Iterator[tuple[list[int], bool]]:
    """Each response's ids, end token included, and whether the token limit cut it off."""
    longest = max(len(prompt) for prompt in prompts)
    ids = torch.full((len(prompts), longest), sampling.pad_token_id)
    mask = torch.zeros_like(ids)
    for row, prompt in enumerate(prompts):
        ids[row, longest - len(prompt) :] = torch.from_numpy(prompt)
        mask[row, longest - len(prompt) :] = 1
    sampled = model.generate(input_ids=ids, attention_mask=mask, generation_config=sampling)
    for response in sampled[:, longest:].tolist():
        end = next((i for i, token in enumerate(response) if token in sampling.eos_token_id), None)
        yield (response, True) if end is None else (response[: end + 1], False)


def _judged(
    asked: Sequence[tuple[Task, int]],
    responses: Sequence[tuple[list[int], bool]],
    codec: ChatCodec,
    verifiers: Mapping[str, Verifier],
) -> Iterator[EvalRecord]:
    for name, verifier in verifiers.items():
        rows = [row for row, (task, _) in enumerate(asked) if task.verifier == name]
        answers = []
        for row in rows:
            task, (ids, truncated) = asked[row][0], responses[row]
            text = codec.text(codec.prompt_ids(task), np.asarray(ids, dtype=np.int32))
            answers.append(Answer(task, text, truncated))
        for row, verdict in zip(rows, verifier.verify(answers), strict=True):
            task, sample = asked[row]
            ids, truncated = responses[row]
            yield EvalRecord(
                domain=task.domain,
                task_id=task.id,
                sample=sample,
                passed=verdict.score is not None and verdict.score >= 1,
                parseable=verdict.status is Status.SCORED,
                truncated=truncated,
                tokens=len(ids),
            )
