"""The generated domains: split, reproducibility, and answers that are what they say they are."""

from __future__ import annotations

from collections import Counter
from random import Random
from typing import Any

import pytest
from worked_problems import Worked, worked

from reprise.core.errors import UserError
from reprise.core.types import Status, Task
from reprise.data.demo import addition, code, constrained, maths, reverse
from reprise.data.demo.conversations import conversations
from reprise.rewards.base import Answer
from reprise.rewards.registry import build_verifier
from reprise.rewards.settings import VerifierSettings

SIZES: dict[str, dict[str, Any]] = {
    "addition": {"digits": (1, 3)},
    "reverse": {"letters": (2, 5)},
    "constrained": {"length": (3, 6), "required": (1, 2), "forbidden": (1, 3)},
}
WITH_PROGRAMS = SIZES | {"maths": {"numbers": (2, 9)}, "code": {"steps": (1, 3), "tests": 3}}
MODULES = {"addition": addition, "reverse": reverse, "constrained": constrained, "maths": maths, "code": code}
STYLES = {"clean": 0.35, "sloppy": 0.4, "direct": 0.25}
VERIFIERS = {name: build_verifier(name, VerifierSettings(use=name)) for name in ("exact", "rules", "math", "code")}

each_domain = pytest.mark.parametrize("domain", list(WITH_PROGRAMS))


def make(domain: str, seed: int, count: int, split: str) -> list[Task]:
    return list(MODULES[domain].tasks(seed=seed, count=count, split=split, **WITH_PROGRAMS[domain]))


def score(trace: Worked) -> float:
    verdict = VERIFIERS[trace.task.verifier].verify([Answer(trace.task, trace.response)])[0]
    assert verdict.status is Status.SCORED, verdict
    assert verdict.score is not None
    return verdict.score


def traces_of(style: str) -> list[Worked]:
    return [trace for domain, sizes in SIZES.items() for trace in worked(domain, sizes, style, 100)]


@each_domain
def test_a_seed_gives_the_same_tasks_and_another_seed_others(domain: str) -> None:
    assert make(domain, 0, 50, "train") == make(domain, 0, 50, "train")
    assert make(domain, 0, 50, "train") != make(domain, 1, 50, "train")


@each_domain
def test_held_out_and_train_never_share_a_task_whatever_the_seeds(domain: str) -> None:
    held_out = {t.id for seed in range(3) for t in make(domain, seed, 200, "held_out")}
    train = [t for seed in range(3) for t in make(domain, seed, 400, "train")]
    assert not held_out & {t.id for t in train}
    (example,) = conversations(0, 1, domain, "train", STYLES, 0.2, WITH_PROGRAMS[domain])
    assert example["id"] not in held_out


@each_domain
def test_tasks_of_a_call_differ_in_id_and_prompt(domain: str) -> None:
    tasks = make(domain, 0, 300, "held_out")
    assert len({t.id for t in tasks}) == len({str(t.prompt) for t in tasks}) == 300


@each_domain
def test_every_task_can_be_verified(domain: str) -> None:
    for task in make(domain, 0, 50, "train"):
        VERIFIERS[task.verifier].check_task(task)


def test_swapping_the_operands_does_not_cross_the_split() -> None:
    held_out = {t.id.removeprefix("addition/") for t in make("addition", 0, 300, "held_out")}
    train = {t.id.removeprefix("addition/") for t in make("addition", 1, 3000, "train")}
    assert not {"+".join(reversed(pair.split("+"))) for pair in held_out} & train


def test_reordering_the_constraints_letters_does_not_cross_the_split() -> None:
    def canonical(task: Task) -> tuple[Any, ...]:
        return (task.answer["length"], *map("".join, map(sorted, (task.answer["required"], task.answer["forbidden"]))))

    held_out, train = (
        set(map(canonical, make("constrained", 0, n, s))) for n, s in ((500, "held_out"), (3000, "train"))
    )
    assert not held_out & train


def test_more_tasks_than_there_are_is_refused() -> None:
    with pytest.raises(UserError, match="different train tasks of addition"):
        list(addition.tasks(seed=0, count=1000, split="train", digits=(1, 1)))


@pytest.mark.parametrize("digits", [3, (0, 2), (3, 1), (1, 10), (1,), ("1", "2")])
def test_sizes_that_are_no_range_are_refused(digits: Any) -> None:
    with pytest.raises(UserError, match=r"digits: .* is no \[fewest, most\] with 1 <= fewest <= most <= 9"):
        list(addition.tasks(seed=0, count=1, split="train", digits=digits))


def test_an_unknown_split_is_refused() -> None:
    with pytest.raises(UserError, match="train or held_out"):
        list(addition.tasks(seed=0, count=1, split="test", digits=(1, 1)))  # type: ignore[arg-type]


def test_clean_traces_satisfy_the_verifier() -> None:
    assert all(score(trace) == 1.0 for trace in traces_of("clean"))


def test_only_direct_traces_do_without_reasoning() -> None:
    for style in STYLES:
        assert all(("<think></think>" in trace.response) == (style == "direct") for trace in traces_of(style))


@pytest.mark.parametrize("style", ["sloppy", "direct"])
def test_errors_reach_the_answer_and_leave_it_readable(style: str) -> None:
    rates: dict[str, list[float]] = {}
    for trace in traces_of(style):
        rates.setdefault(trace.task.domain, []).append(score(trace))
    assert all(0.2 < sum(scores) / len(scores) < 0.8 for scores in rates.values())
    assert len(rates) == 3


def test_a_worked_addition_reads_as_documented() -> None:
    task = Task("addition/473+92", "473+92=", "addition", "exact", "565")
    assert addition.solve(task, Random(0), 0.0) == ("3+2+0=05,7+9+0=16,4+0+1=05,", "565")


@each_domain
def test_styles_come_in_the_shares_asked_for(domain: str) -> None:
    drawn = list(conversations(0, 3000, domain, "train", STYLES, 0.2, WITH_PROGRAMS[domain]))
    styles = Counter(str(record["style"]) for record in drawn)
    assert all(abs(styles[style] / 3000 - share) < 0.03 for style, share in STYLES.items())
    assert drawn[:20] == list(conversations(0, 20, domain, "train", STYLES, 0.2, WITH_PROGRAMS[domain]))
