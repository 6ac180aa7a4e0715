"""reasoning_gym as a task source: disjoint splits, examples as chat turns, references that our verifiers take."""

from __future__ import annotations

import sys
from typing import Any

import pytest

from reprise.core.errors import UserError
from reprise.core.types import Task
from reprise.data.reasoning_gym_tasks import tasks

ONE_DIGIT_SUMS = {"min_terms": 2, "max_terms": 2, "min_digits": 1, "max_digits": 1}


def make(seed: int = 1, count: int = 20, split: str = "train", **changes: Any) -> list[Task]:
    arguments: dict[str, Any] = {
        "dataset": "chain_sum",
        "config": ONE_DIGIT_SUMS,
        "instruction": "Answer with a number.",
        "answer_form": "It is {answer}.",
        "examples": 2,
        "verifier": "math",
    }
    return list(tasks(seed=seed, count=count, split=split, **(arguments | changes)))  # type: ignore[arg-type]


def test_examples_come_first_as_solved_turns_and_the_question_last() -> None:
    task = make()[0]
    turns = task.messages()
    assert [turn["role"] for turn in turns] == ["user", "assistant", "user", "assistant", "user"]
    assert turns[1]["content"].startswith("It is ")
    assert turns[-1]["content"].endswith("=\nAnswer with a number.")
    left, sign, right = turns[-1]["content"].split(": ")[1].split(" =")[0].split()
    assert int(task.answer) == int(left) + int(sign + right)


def test_train_held_out_and_examples_never_share_a_question() -> None:
    train, held_out = ({str(t.messages()[-1]) for t in make(count=25, split=side)} for side in ("train", "held_out"))
    examples = {str(turn) for turn in make()[0].messages()[:-1]}
    assert len(train) == len(held_out) == 25
    assert not train & held_out
    assert not (train | held_out) & examples


def test_too_few_different_problems_are_refused() -> None:
    with pytest.raises(UserError, match="gives only about"):
        make(count=1000)


@pytest.mark.parametrize(
    "changes", [{"dataset": "chain_summ"}, {"config": {"terms": 2}}, {"config": {"min_terms": 3, "max_terms": 2}}]
)
def test_an_unknown_dataset_or_config_is_refused(changes: dict[str, Any]) -> None:
    with pytest.raises(UserError, match="reasoning_gym cannot make 'chain_sum"):
        make(**changes)


def test_a_missing_package_is_named_with_the_way_to_install_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "reasoning_gym", None)
    with pytest.raises(UserError, match="pip install"):
        make()


def test_its_tasks_may_be_verified_by_its_own_scorer() -> None:
    from reprise.rewards.verifiers.reasoning_gym import ReasoningGymVerifier

    task = make(count=1, verifier="reasoning_gym")[0]
    assert task.metadata["source_dataset"] == "chain_sum"
    ReasoningGymVerifier().check_task(task)
