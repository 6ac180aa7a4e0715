"""From the recipe to verifiers: every way of being wrong gets one clear error, and nothing is started."""

import re
from importlib.metadata import EntryPoint
from typing import Any

import plugin_verifiers
import pytest
from pydantic import ValidationError

from reprise.core.errors import UserError
from reprise.core.types import Status, Task
from reprise.rewards import registry
from reprise.rewards.base import Answer
from reprise.rewards.contract import check_contract
from reprise.rewards.settings import RewardSettings
from reprise.rewards.verifiers.exact import ExactVerifier
from reprise.rewards.verifiers.maths import MathsVerifier

NEED_ARGS = {"compose", "llm_judge"}
LENGTH = "plugin_verifiers:LengthVerifier"


def settings(use: str, **args: Any) -> RewardSettings:
    return RewardSettings.model_validate({"verifiers": {"mine": {"use": use, "args": args}}})


def test_every_built_in_verifier_is_built_with_its_defaults_and_starts_nothing() -> None:
    for name in set(registry.BUILT_IN) - NEED_ARGS:
        verifier = registry.build_verifiers(settings(name))["mine"]
        if isinstance(verifier, MathsVerifier):
            assert verifier.pool.pids == []
        verifier.close()


def test_args_reach_the_verifier() -> None:
    verifier = registry.build_verifiers(settings("exact", tag="answer", casefold=True))["mine"]
    assert isinstance(verifier, ExactVerifier)
    assert (verifier.tag, verifier.casefold, verifier.strip) == ("answer", True, True)


def test_a_dotted_path_names_a_plug_in() -> None:
    verifier = registry.build_verifiers(settings(LENGTH, factor=2))["mine"]
    assert isinstance(verifier, plugin_verifiers.LengthVerifier)


def test_an_entry_point_names_a_plug_in(monkeypatch: pytest.MonkeyPatch) -> None:
    installed = [EntryPoint("length", LENGTH, "reprise.verifiers"), EntryPoint("exact", LENGTH, "reprise.verifiers")]
    monkeypatch.setattr(registry, "entry_points", lambda group: installed if group == "reprise.verifiers" else [])
    assert isinstance(registry.build_verifiers(settings("length", factor=2))["mine"], plugin_verifiers.LengthVerifier)
    assert isinstance(registry.build_verifiers(settings("exact"))["mine"], ExactVerifier), "built-in names win"


@pytest.mark.parametrize(
    ("use", "args", "message"),
    [
        (
            "exakt",
            {},
            "rewards.verifiers.mine.use: there is no verifier 'exakt'; did you mean 'exact'? valid: code, compose, e",
        ),
        ("zzzzz", {}, f"there is no verifier 'zzzzz'; valid: {', '.join(sorted(registry.BUILT_IN))}, or a dotted path"),
        ("no_such_module:V", {}, "rewards.verifiers.mine.use"),
        ("plugin_verifiers:Plain", {}, "mine.use: plugin_verifiers:Plain is not a verifier, it has no start, verify"),
        ("plugin_verifiers:Answer", {}, "mine.use: plugin_verifiers:Answer is not a verifier, it has no start, verify"),
        ("plugin_verifiers:Sequence", {}, "mine.use: plugin_verifiers:Sequence is not a verifier, it has no start"),
        ("os:system", {"command": "touch /tmp/owned"}, "mine.use: 'os:system' is a part of Python's own library"),
        (
            "plugin_verifiers:reward",
            {},
            "mine.use: reward is called as reward(prompt, response, answer)",
        ),
        (
            "plugin_verifiers:SPEED",
            {},
            "mine.use: plugin_verifiers:SPEED is a float and neither a verifier",
        ),
        (
            "plugin_verifiers:Typo",
            {},
            "mine.use: plugin_verifiers:Typo does not define verify (is 'verfiy' meant to be it?); write `def verify(",
        ),
        ("plugin_verifiers:Old", {}, "mine.use: plugin_verifiers:Old defines judge, which is called verify now"),
        ("plugin_verifiers:OldPlain", {}, "mine.use: plugin_verifiers:OldPlain defines judge, which is called verify"),
        ("plugin_verifiers:Verifier", {}, "mine.use: plugin_verifiers:Verifier does not define verify; write"),
        (
            "exact",
            {"tagg": "x"},
            "mine.args.tagg: ExactVerifier takes no such argument; did you mean 'tag'? valid: case",
        ),
        ("exact", {"extract": "box"}, "mine.args.extract: Input should be 'tag', 'boxed', 'text' or 'code', not 'box'"),
        ("exact", {"strip": "yes"}, "mine.args.strip: Input should be a valid boolean, not 'yes'"),
        ("math", {"cpu_s": -1}, "mine.args.cpu_s: Input should be greater than 0, not -1"),
        ("math", {"cpu_s": 9, "wall_s": 5}, "mine.args: wall_s must be at least cpu_s (9), not 5"),
        (LENGTH, {}, "mine.args.factor: missing; LengthVerifier needs it"),
        (LENGTH, {"factor": -1}, "mine.args: factor must not be negative, not -1"),
        (LENGTH, {"factor": "x"}, "mine.args: '<' not supported between"),
    ],
)
def test_what_is_wrong_is_named_with_what_would_be_right(use: str, args: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=re.escape(message)):
        registry.build_verifiers(settings(use, **args))


def test_what_is_no_verifiers_class_is_refused_before_it_is_called() -> None:
    for use in ("plugin_verifiers:Recording", "plugin_verifiers:recording"):
        with pytest.raises(UserError, match=r"not a verifier|is called as"):
            registry.build_verifiers(settings(use, command="rm"))
    assert plugin_verifiers.CALLED == []


@pytest.mark.parametrize(
    "section",
    [
        {"verifiers": {}},
        {"verifiers": {"m": {"use": ""}}},
        {"verifiers": {"m": {"use": "exact", "arg": {}}}},
        {"verifiers": {"m": {"use": "exact"}}, "retries": -1},
        {"verifiers": {"m": {"use": "exact"}}, "workers": 0},
        {"verifiers": {"m": {"use": "exact"}}, "timeout": 3},
        {"verifiers": {"m": {"use": "exact"}}, "unparseable": "zero"},
        {"verifiers": {"m": {"use": "exact"}}, "infra_error_warning": 1.5},
    ],
)
def test_a_malformed_section_is_refused(section: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        RewardSettings.model_validate(section)


@pytest.mark.parametrize("policy", ["mask", "score_zero_if_complete", "score_zero"])
def test_a_recipe_says_what_becomes_of_unparseable_answers(policy: str) -> None:
    section = {"verifiers": {"m": {"use": "exact"}}, "unparseable": policy}
    assert RewardSettings.model_validate(section).unparseable == policy


def test_a_task_that_names_an_unknown_verifier_is_refused_with_the_nearest() -> None:
    verifiers = registry.build_verifiers(settings("exact"))
    registry.check_task(verifiers, Task("1", "?", "d", "mine", "5"))
    with pytest.raises(UserError, match=r"verifier 'mime' is not in rewards\.verifiers; did you mean 'mine'"):
        registry.check_task(verifiers, Task("1", "?", "d", "mime", "5"))
    with pytest.raises(UserError, match="task '1': answer"):
        registry.check_task(verifiers, Task("1", "?", "d", "mine", None))


ASKED = Task("1", "?", "d", "mine", "references")
RIGHT, WRONG = Answer(ASKED, "ten chars!"), Answer(ASKED, "eleven char")


def test_a_good_plug_in_keeps_the_contract() -> None:
    check_contract(lambda: plugin_verifiers.LengthVerifier(1), RIGHT, WRONG)


@pytest.mark.parametrize(
    ("cls", "complaint"),
    [
        (plugin_verifiers.Forgetful, "verifier 'Forgetful': verify returned 1 verdict for 4 answers"),
        (plugin_verifiers.ZeroForNothing, "truncated response without an answer"),
        (plugin_verifiers.Fickle, "NUL characters: verified twice"),
        (plugin_verifiers.BlamesTheMachine, "NUL characters: is the answer's doing"),
    ],
)
def test_the_contract_names_what_a_plug_in_breaks(cls: Any, complaint: str) -> None:
    with pytest.raises(AssertionError, match=complaint):
        check_contract(lambda: cls(1), RIGHT, WRONG)


def test_the_contract_shows_an_exception_that_leaks() -> None:
    with pytest.raises(UnicodeEncodeError):
        check_contract(lambda: plugin_verifiers.Leaky(1), RIGHT, WRONG)


def test_the_contract_sees_verdicts_out_of_order() -> None:
    with pytest.raises(AssertionError, match=r"scores like the right answer|must come in order"):
        check_contract(lambda: plugin_verifiers.Reversed(1), RIGHT, WRONG)


def test_a_function_is_a_verifier_of_its_own() -> None:
    task = Task("t", "2+2=?", "sums", "mine", answer="4")
    verifier = registry.construct("plugin_verifiers:contains", {"bonus": 0.5}, "rewards.verifiers.mine")
    right, wrong, none = verifier.verify([Answer(task, text) for text in ("so 4", "so 5", "")])
    assert (right.score, wrong.score, none.status) == (1.5, 0.0, Status.UNPARSEABLE)
    assert verifier.verify([]) == []


def test_what_a_function_returns_that_is_no_score_is_an_error_and_never_a_zero() -> None:
    verifier = registry.construct("plugin_verifiers:says", {}, "rewards.verifiers.mine")
    with pytest.raises(TypeError, match="says returned a str; a score is a number, or None"):
        verifier.verify([Answer(Task("t", "?", "sums", "mine"), "x")])


@pytest.mark.parametrize(
    ("use", "args", "message"),
    [
        (
            "contains",
            {"bonos": 1},
            "mine.use: contains is called as contains(prompt, response, answer)",
        ),
        ("turned", {}, "and takes them as (response, prompt, answer); put its parameters in that order"),
        ("waits", {}, "mine.use: waits must be a plain function (prompt, response, answer) -> float"),
    ],
)
def test_a_function_that_cannot_be_called_so_is_refused(use: str, args: dict[str, object], message: str) -> None:
    with pytest.raises(UserError, match=re.escape(message)):
        registry.construct(f"plugin_verifiers:{use}", args, "rewards.verifiers.mine")
