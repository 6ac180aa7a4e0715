"""Tasks from reasoning_gym's generators, posed as a chat; a verifier of ours sees the answer alone."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Mapping
from itertools import islice
from typing import Any

from reprise.core.errors import UserError
from reprise.core.types import Task
from reprise.data.split import Split, on_side

# A generator drawn from this many times for each task asked for, without giving enough different ones, has run out.
_DRAWS_PER_TASK = 100


def tasks(
    dataset: str,
    config: Mapping[str, object],
    seed: int,
    count: int,
    split: Split,
    instruction: str,
    answer_form: str,
    examples: int,
    verifier: str,
) -> Iterator[Task]:
    """`count` different problems of one split; the two splits never share a question.

    dataset, config   reasoning_gym's name of a generator, such as chain_sum, and its arguments
    instruction       added to every question after a line break
    examples          how many solved problems precede the question as chat turns: the same ones in every task of
                      every seed, never posed themselves
    answer_form       how the examples answer, `{answer}` standing for the answer
    verifier          the entry of the recipe's `rewards.verifiers` that verifies

    Raises UserError if reasoning_gym is not installed, refuses the dataset or its config, or has too few problems.
    """
    shown = list(islice(_distinct(dataset, config, seed=0, draws=examples * _DRAWS_PER_TASK), examples))
    turns = [
        turn
        for entry in shown
        for turn in (
            _asked(entry["question"], instruction),
            {"role": "assistant", "content": answer_form.replace("{answer}", entry["answer"])},
        )
    ]
    shown_questions = {entry["question"] for entry in shown}
    given = 0
    for entry in _distinct(dataset, config, seed, draws=count * _DRAWS_PER_TASK):
        question = entry["question"]
        if question in shown_questions or not on_side(question, split):
            continue
        yield Task(
            id=f"{dataset}/{question}",
            prompt=[*turns, _asked(question, instruction)],
            domain=dataset,
            verifier=verifier,
            answer=entry["answer"],
            metadata=dict(entry["metadata"]),
        )
        given += 1
        if given == count:
            return
    raise UserError(
        f"reasoning_gym's {dataset} with {dict(config)} gives only about {given} different {split} problems, not "
        f"{count}; ask for fewer, or for larger problems"
    )


def _distinct(dataset: str, config: Mapping[str, object], seed: int, draws: int) -> Iterator[dict[str, Any]]:
    """The different entries among the first `draws` of a seed. Each has a `question` and an `answer`."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", SyntaxWarning)  # cellpylib's, while it is compiled
            import reasoning_gym  # only here: an optional package, for this source alone
    except ModuleNotFoundError as error:
        raise UserError(
            "reprise.data.reasoning_gym_tasks needs the package reasoning-gym: pip install 'reprise-rl[examples]'"
        ) from error
    try:
        entries = reasoning_gym.create_dataset(dataset, seed=seed, size=max(draws, 1), **config)
    except (ValueError, TypeError, AssertionError) as error:
        raise UserError(f"reasoning_gym cannot make {dataset!r} with {dict(config)}: {error}") from error
    seen: set[str] = set()
    for i in range(draws):
        entry = entries[i]
        if entry["question"] not in seen:
            seen.add(entry["question"])
            yield entry


def _asked(question: str, instruction: str) -> dict[str, str]:
    return {"role": "user", "content": f"{question}\n{instruction}"}
