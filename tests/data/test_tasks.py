"""Task sources: what is read, what is refused and how it is said, and what is kept out of training."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from reprise.core.errors import UserError
from reprise.core.types import Task
from reprise.data.settings import DataSettings
from reprise.data.tasks import TaskSets, check_sources
from reprise.rewards.loading import verifiable
from reprise.rewards.registry import build_verifiers
from reprise.rewards.settings import RewardSettings

NAMES = ("exact", "code", "math")
VERIFIERS = build_verifiers(RewardSettings.model_validate({"verifiers": {name: {"use": name} for name in NAMES}}))
GOOD: dict[str, Any] = {"id": "a", "prompt": "1+1=", "domain": "sums", "verifier": "exact", "answer": "2"}


def jsonl(path: Path, *records: dict[str, Any] | str) -> str:
    path.write_text("".join((r if isinstance(r, str) else json.dumps(r)) + "\n" for r in records))
    return str(path)


def check(train: list[dict[str, Any]], held_out: list[dict[str, Any]] | None = None) -> TaskSets:
    settings = DataSettings.model_validate({"train": train, "held_out": held_out or []})
    return check_sources(settings, partial(verifiable, VERIFIERS))


def numbered(count: int, first: int = 0) -> Iterator[Task]:
    """A generator source for the tests below."""
    for i in range(first, first + count):
        yield Task(id=f"n{i}", prompt=f"say {i}", domain="numbers", verifier="exact", answer=str(i))


def not_tasks() -> list[str]:
    return ["a task?"]


def one_with(**changes: Any) -> list[Task]:
    return [replace(Task(id="n", prompt="say", domain="numbers", verifier="exact", answer="1"), **changes)]


def with_a_lambda() -> list[Task]:
    return one_with(answer=lambda: 1)


def gives_up(how: str) -> Iterator[Task]:
    yield from numbered(2)
    if how == "exit":
        sys.exit(7)
    raise TypeError("no third")


def test_a_file_gives_its_tasks_in_order_blank_lines_skipped(tmp_path: Path) -> None:
    chat: dict[str, Any] = {**GOOD, "id": "b", "prompt": [{"role": "user", "content": "hi"}], "metadata": {"level": 2}}
    sets = check([{"path": jsonl(tmp_path / "t.jsonl", GOOD, "", chat)}])
    assert sets.train == ((Task(**GOOD), Task(**chat)),)


def test_a_generator_is_called_with_its_args() -> None:
    sets = check([{"generator": f"{__name__}:numbered", "args": {"count": 3, "first": 5}}])
    assert [t.id for t in sets.train[0]] == ["n5", "n6", "n7"]


def test_weights_become_shares() -> None:
    sources = [{"generator": f"{__name__}:numbered", "args": {"count": 1, "first": i}, "weight": i} for i in (1, 3)]
    assert check(sources).weights == (0.25, 0.75)


@pytest.mark.parametrize(
    ("bad", "said"),
    [
        ('{"id": "b", ', r"not valid JSON \(.*column 13\)"),
        ("[1]", "a task is a JSON object"),
        ({k: v for k, v in GOOD.items() if k != "domain"}, "field 'domain' is missing"),
        ({**GOOD, "anwser": "2"}, "unknown field 'anwser'"),
        ({**GOOD, "id": 7}, "field 'id' must be a non-empty string, not 7"),
        ({**GOOD, "prompt": [{"role": "user"}]}, "field 'prompt' must be"),
        ({**GOOD, "metadata": []}, "field 'metadata' must be an object"),
        (GOOD, r"id 'a' was already used at .*t\.jsonl:1"),
        (
            {**GOOD, "id": "b", "verifier": "excat"},
            "verifier 'excat' is not in rewards.verifiers; did you mean 'exact'",
        ),
    ],
)
def test_a_broken_line_is_refused_with_its_file_and_number(tmp_path: Path, bad: Any, said: str) -> None:
    with pytest.raises(UserError, match=r"t\.jsonl:3: " + said):
        check([{"path": jsonl(tmp_path / "t.jsonl", GOOD, "", bad)}])


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"none\.jsonl: there is no such task file"):
        check([{"path": str(tmp_path / "none.jsonl")}])


CODE = GOOD | {"id": "c", "verifier": "code", "answer": {"function": "f", "tests": [{"args": [1], "expected": 2}]}}


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"answer": None}, "answer must be an object"),
        ({"answer": {"function": "f", "tests": []}}, r"answer\.tests must be a list of at least one test"),
        ({"answer": {"function": "f", "tests": [{"args": [1]}]}}, r"answer\.tests\[0\]\.expected is missing"),
        ({"answer": {"tests": [{"stdin": 1, "stdout": ""}]}}, r"answer\.tests\[0\]\.stdin must be a string"),
        ({"answer": {"asserts": ["assert f(1) == 2", "assert f(1"]}}, r"answer\.asserts\[1\] does not parse"),
        ({"metadata": {"time_limit_s": "2"}}, r"metadata\.time_limit_s must be a number above 0"),
        ({"verifier": "math"}, "answer must be a string or a list"),
    ],
)
def test_a_task_that_its_verifier_cannot_verify_is_refused_with_file_line_and_field(
    tmp_path: Path, changes: dict[str, Any], said: str
) -> None:
    with pytest.raises(UserError, match=r"t\.jsonl:2: task 'd': " + said):
        check([{"path": jsonl(tmp_path / "t.jsonl", CODE, CODE | {"id": "d"} | changes)}])


@pytest.mark.parametrize(
    ("generator", "args", "said"),
    [
        ("reprise.data.demo.addition:taks", {}, "did you mean 'tasks'"),
        (f"{__name__}:numbered", {"cuont": 3}, "unexpected keyword argument 'cuont'"),
        (f"{__name__}:not_tasks", {}, "task 1: a generator gives reprise.Task, not str"),
        (f"{__name__}:one_with", {"id": 1}, r":one_with.*, task 1: field 'id' must be a non-empty string, not 1"),
        (f"{__name__}:one_with", {"domain": None}, "task 1: field 'domain' must be a non-empty string, not None"),
        (f"{__name__}:one_with", {"prompt": ""}, "task 1: field 'prompt' must be a non-empty string or a list of"),
        (f"{__name__}:one_with", {"metadata": None}, "task 1: field 'metadata' must be an object, not None"),
        (f"{__name__}:with_a_lambda", {}, "task 1: 'answer' and 'metadata' must be data that pickle takes"),
        (f"{__name__}:gives_up", {"how": "raise"}, r"after task 2: the generator failed:\n(.*\n)*TypeError: no third"),
        (f"{__name__}:gives_up", {"how": "exit"}, r"after task 2: the generator failed:\n(.*\n)*SystemExit: 7"),
    ],
)
def test_a_generator_that_cannot_work_is_refused(generator: str, args: dict[str, Any], said: str) -> None:
    with pytest.raises(UserError, match=said):
        check([{"generator": generator, "args": args}])


@pytest.mark.parametrize("domain", ["maths/algebra", "mean", "all", "\x1b[2Jmaths", "maths\n"])
def test_a_domain_that_no_metric_could_be_named_after_is_refused(domain: str, tmp_path: Path) -> None:
    fine = {**GOOD, "domain": "maths.algebra"}
    check([{"path": jsonl(tmp_path / "t.jsonl", fine)}])
    with pytest.raises(
        UserError, match=re.escape(f"t.jsonl:2: the domain {domain!r} cannot be part of a metric's name")
    ):
        check([{"path": jsonl(tmp_path / "t.jsonl", fine, {**fine, "id": "2", "domain": domain})}])


def test_an_id_may_not_repeat_across_training_sources(tmp_path: Path) -> None:
    first, second = (jsonl(tmp_path / name, GOOD) for name in ("one.jsonl", "two.jsonl"))
    with pytest.raises(UserError, match=r"two\.jsonl:1: id 'a' was already used at .*one\.jsonl:1"):
        check([{"path": first}, {"path": second}])


def test_held_out_tasks_leave_the_training_set_by_id_and_by_prompt(tmp_path: Path) -> None:
    same_prompt = [{"role": "user", "content": GOOD["prompt"]}]
    train = jsonl(
        tmp_path / "train.jsonl",
        {**GOOD, "prompt": "same id, another prompt"},
        {**GOOD, "id": "b", "prompt": same_prompt},
        {**GOOD, "id": "c", "prompt": "2+2="},
    )
    sets = check([{"path": train}], [{"path": jsonl(tmp_path / "held_out.jsonl", GOOD)}])
    assert [t.id for t in sets.train[0]] == ["c"]
    assert sets.excluded == 2
    assert [t.id for t in sets.held_out_by_domain()["sums"]] == ["a"]


def test_a_source_with_nothing_left_to_train_on_is_refused(tmp_path: Path) -> None:
    files = [jsonl(tmp_path / name, GOOD) for name in ("train.jsonl", "held_out.jsonl")]
    with pytest.raises(UserError, match="all of its tasks are held out too"):
        check([{"path": files[0]}], [{"path": files[1]}])
    with pytest.raises(UserError, match="it is empty"):
        check([{"path": jsonl(tmp_path / "empty.jsonl")}])


def test_the_same_source_on_both_sides_is_refused() -> None:
    source = {"generator": f"{__name__}:numbered", "args": {"count": 3}}
    with pytest.raises(ValidationError, match="both a train and a held_out source"):
        check([source], [source])


@pytest.mark.parametrize("origin", [{}, {"path": "a", "generator": "b:c"}, {"path": "a", "args": {"seed": 1}}])
def test_a_source_has_exactly_one_origin(origin: dict[str, Any]) -> None:
    with pytest.raises(ValidationError, match=r"exactly one of `path`|belong to `generator`"):
        check([origin])


def test_evaluation_can_be_limited_per_domain() -> None:
    tasks = tuple(Task(f"{d}{i}", f"{d}{i}", d, "exact", "x") for i in range(3) for d in ("p", "q"))
    by_domain = TaskSets((), (), tasks, 0).held_out_by_domain(2)
    assert {d: [t.id for t in ts] for d, ts in by_domain.items()} == {"p": ["p0", "p1"], "q": ["q0", "q1"]}
