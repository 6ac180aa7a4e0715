"""From the recipe's `rewards.verifiers` to verifier objects; the only place where a verifier's name becomes a class."""

from __future__ import annotations

import inspect
from collections.abc import Iterable, Mapping
from importlib.metadata import entry_points
from typing import cast

from pydantic import ValidationError

from reprise.core.errors import UserError
from reprise.core.hints import did_you_mean, nearest
from reprise.core.plugins import resolve
from reprise.core.types import Task
from reprise.rewards.base import Verifier
from reprise.rewards.settings import RewardSettings, VerifierSettings
from reprise.rewards.verifiers.function import FunctionVerifier

ENTRY_POINT_GROUP = "reprise.verifiers"

_METHODS = ("start", "verify", "check_task", "close")

BUILT_IN = {
    "code": "reprise.rewards.verifiers.code.verifier:CodeVerifier",
    "compose": "reprise.rewards.composition:ComposeVerifier",
    "exact": "reprise.rewards.verifiers.exact:ExactVerifier",
    "format": "reprise.rewards.verifiers.format:FormatVerifier",
    "instruction": "reprise.rewards.verifiers.instruction.verifier:InstructionVerifier",
    "llm_judge": "reprise.rewards.verifiers.llm_judge.verifier:LlmJudgeVerifier",
    "math": "reprise.rewards.verifiers.maths:MathsVerifier",
    "reasoning_gym": "reprise.rewards.verifiers.reasoning_gym:ReasoningGymVerifier",
    "rules": "reprise.rewards.verifiers.rules:RulesVerifier",
    "tools": "reprise.rewards.verifiers.tools.verifier:ToolsVerifier",
}


def build_verifiers(settings: RewardSettings) -> dict[str, Verifier]:
    """All verifiers of the recipe by name, constructed but not started. UserError names the key that is wrong."""
    return {name: build_verifier(name, chosen) for name, chosen in settings.verifiers.items()}


def check_task(verifiers: Mapping[str, Verifier], task: Task) -> None:
    """Refuse a task that names no verifier of the recipe, or that its verifier could never verify (UserError)."""
    if task.verifier not in verifiers:
        raise UserError(f"verifier {task.verifier!r} is not in rewards.verifiers; {_valid(task.verifier, verifiers)}")
    verifiers[task.verifier].check_task(task)


def installed() -> list[str]:
    """The names that `use` may be: built-in verifiers, and those of installed packages."""
    return sorted({*BUILT_IN, *(entry.name for entry in entry_points(group=ENTRY_POINT_GROUP))})


def build_verifier(name: str, chosen: VerifierSettings) -> Verifier:
    """The verifier `rewards.verifiers.<name>`, constructed with its args but not started."""
    verifier = construct(chosen.use, chosen.args, f"rewards.verifiers.{name}")
    getattr(verifier, "within", lambda _: None)(chosen.deadline_s)
    return verifier


def construct(use: str, args: Mapping[str, object], where: str) -> Verifier:
    """The verifier that `use` names, with these args. `where` is the key that holds both; UserErrors begin with it.

    Nothing that is no verifier's class is called. A plain function is wrapped (`FunctionVerifier`).
    """
    found = _named(use, where)
    if inspect.isfunction(found):
        return FunctionVerifier(found, args, where)
    cls = _checked_class(found, use, where)
    _check_args(cls, args, where)
    try:
        return cls(**args)
    except ValidationError as error:
        raise UserError("\n".join(_argument_errors(error, where))) from error
    except (TypeError, ValueError) as error:
        raise UserError(f"{where}.args: {error}") from error


def verifier_class(use: str, where: str) -> type[Verifier]:
    """The class that `use` names. UserError if there is none, or if it is no class with the methods of a verifier."""
    return _checked_class(_named(use, where), use, where)


def _named(use: str, where: str) -> object:
    """What `use` names: dotted path, built-in name (these win) or entry point, in this order."""
    if ":" in use:
        return resolve(use, f"{where}.use")
    return resolve(BUILT_IN[use], f"{where}.use") if use in BUILT_IN else _plugin(use, where)


def _plugin(use: str, where: str) -> object:
    plugins = {entry.name: entry for entry in entry_points(group=ENTRY_POINT_GROUP)}
    if use not in plugins:
        if use.endswith(".py"):
            raise UserError(f"{where}.use: {use!r} lacks the name of the function or class: write {use}:name")
        raise UserError(
            f"{where}.use: there is no verifier {use!r}; {_valid(use, [*BUILT_IN, *plugins])}, or a dotted path "
            "package.module:Class or ./file.py:name"
        )
    return resolve(plugins[use].value, f"{where}.use (entry point {use!r})")


def _checked_class(found: object, use: str, where: str) -> type[Verifier]:
    right = "inherit from reprise.Verifier and define verify"
    if not isinstance(found, type):
        raise UserError(
            f"{where}.use: {use} is a {type(found).__name__} and neither a verifier's class nor a function; write a "
            f"function (prompt, response, answer) -> float, or a class: {right}"
        )
    missing = [name for name in _METHODS if not callable(getattr(found, name, None))]
    lacks_verify = "verify" in missing or found.verify is Verifier.verify  # type: ignore[attr-defined]
    if lacks_verify and callable(getattr(found, "judge", None)):
        raise UserError(f"{where}.use: {use} defines judge, which is called verify now; rename the method")
    if missing:
        raise UserError(f"{where}.use: {use} is not a verifier, it has no {', '.join(missing)}; {right}")
    if lacks_verify:
        own = [name for name in vars(found) if not name.startswith("_") and name not in _METHODS]
        near = nearest("verify", own)
        meant = f" (is {near!r} meant to be it?)" if near else ""
        raise UserError(
            f"{where}.use: {use} does not define verify{meant}; write `def verify(self, answers)`, which returns one "
            "Verdict per answer, such as Verdict.scored(1.0, Reason.CORRECT)"
        )
    return cast(type[Verifier], found)


def _check_args(cls: type[Verifier], args: Mapping[str, object], where: str) -> None:
    if inspect.isabstract(cls):
        names = ", ".join(sorted(cls.__abstractmethods__))
        raise UserError(f"{where}.use: {cls.__name__} leaves {names} to a class that inherits from it; name that one")
    parameters = inspect.signature(cls).parameters
    if any(p.kind is p.VAR_KEYWORD for p in parameters.values()):
        return
    for key in args:
        if key not in parameters:
            raise UserError(f"{where}.args.{key}: {cls.__name__} takes no such argument; {_valid(key, parameters)}")
    for key, parameter in parameters.items():
        if key not in args and parameter.default is parameter.empty and parameter.kind is not parameter.VAR_POSITIONAL:
            raise UserError(f"{where}.args.{key}: missing; {cls.__name__} needs it")


def _argument_errors(error: ValidationError, where: str) -> list[str]:
    """One line for each bad argument of a constructor that pydantic checks (`validate_call`)."""
    return [
        f"{where}.args.{'.'.join(str(part) for part in entry['loc'])}: {entry['msg']}"
        # Our own checks say what is wrong, and their input may hold a password.
        + ("" if entry["type"] == "value_error" else f", not {entry['input']!r}")
        for entry in error.errors()
    ]


def _valid(wrong: str, valid: Iterable[str]) -> str:
    """`did you mean 'x'? valid: ...`"""
    names = sorted(valid)
    return f"{did_you_mean(wrong, names, '{} ')}valid: {', '.join(names) or 'none'}"
