"""Options and fixtures of the suite, loaded with `-p`: pytest reads no options from a conftest found by `--pyargs`."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from reprise.core.errors import UserError
from reprise.core.json_lines import lines_of, parse_line
from reprise.core.types import Task
from reprise.rewards.base import Answer, Verifier
from reprise.rewards.registry import construct

_PAIR = (
    'two lines, right then wrong, each {"task": {"id", "prompt", "domain", "verifier", "answer"}, "response": "..."}'
)


_MAKE = pytest.StashKey[Callable[[], Verifier]]()
_ANSWERS = pytest.StashKey[tuple[Answer, Answer]]()


def pytest_addoption(parser: pytest.Parser) -> None:
    options = parser.getgroup("verifier contract")
    options.addoption(
        "--verifier", help="as `use` in a recipe: package.module:Class, an entry point or a built-in name"
    )
    options.addoption("--verifier-args", default="{}", metavar="JSON", help="as `args` in a recipe")
    options.addoption("--answers", metavar="FILE", help=f"an example: {_PAIR}")


def pytest_configure(config: pytest.Config) -> None:
    """Refuse a command line that nothing can be tested with, once and before the first test."""
    if not config.getoption("help"):
        config.stash[_MAKE] = _maker(config)
        config.stash[_ANSWERS] = _pair(config)


@pytest.fixture(scope="session")
def make_verifier(pytestconfig: pytest.Config) -> Callable[[], Verifier]:
    """Builds the verifier that the command line names."""
    return pytestconfig.stash[_MAKE]


@pytest.fixture(scope="session")
def pair(pytestconfig: pytest.Config) -> tuple[Answer, Answer]:
    """The right and the wrong answer."""
    return pytestconfig.stash[_ANSWERS]


@pytest.fixture(scope="session")
def right(pair: tuple[Answer, Answer]) -> Answer:
    return pair[0]


@pytest.fixture(scope="session")
def wrong(pair: tuple[Answer, Answer]) -> Answer:
    return pair[1]


@pytest.fixture(scope="session")
def started(make_verifier: Callable[[], Verifier]) -> Iterator[Verifier]:
    """One verifier for the whole suite, as a run has it."""
    verifier = make_verifier()
    verifier.start()
    yield verifier
    verifier.close()
    verifier.close()


def _maker(config: pytest.Config) -> Callable[[], Verifier]:
    use, args = _option(config, "--verifier"), _option(config, "--verifier-args")
    try:
        values = json.loads(args)
    except ValueError as error:
        raise pytest.UsageError(f"--verifier-args {args}: not JSON ({error})") from None
    if not isinstance(values, dict):
        raise pytest.UsageError(f'--verifier-args {args}: must be an object, such as {{"tag": "answer"}}')
    make = partial(construct, use, values, "--verifier")
    try:
        make()
    except UserError as error:
        raise pytest.UsageError(str(error)) from None
    return make


def _pair(config: pytest.Config) -> tuple[Answer, Answer]:
    file = Path(_option(config, "--answers"))
    try:
        right, wrong = (_answer(parse_line(line, f"{file}:{number}")) for number, line in lines_of(file))
    except UserError as error:
        raise pytest.UsageError(f"--answers {error}") from None
    except (ValueError, TypeError, KeyError) as error:
        raise pytest.UsageError(f"--answers {file}: must hold {_PAIR} ({type(error).__name__}: {error})") from None
    if right.task != wrong.task:
        raise pytest.UsageError(f"--answers {file}: the two answers must be to the same task")
    return right, wrong


def _option(config: pytest.Config, name: str) -> str:
    value = config.getoption(name)
    if not value:
        raise pytest.UsageError(f"{name} is missing; an example of all options is in docs/verifiers.md")
    return str(value)


def _answer(record: Any) -> Answer:
    return Answer(Task(**record["task"]), record["response"], record.get("truncated", False))
