"""The reasoning-gym verifier: that package's own scorers, run in the sandbox for every data set."""

from __future__ import annotations

import importlib
import warnings
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path
from typing import Annotated, Protocol

from pydantic import ConfigDict, Field, validate_call

from reprise.core.errors import UserError
from reprise.core.hints import did_you_mean
from reprise.core.types import Task, Verdict
from reprise.rewards.base import Answer, Reason, Verifier
from reprise.rewards.parsing import THINK, Extraction, find_answer, without_invisible
from reprise.sandbox.base import Call, Ending, Job, JobLimits, JobResult
from reprise.sandbox.inside.values import ValueRefused, encode
from reprise.sandbox.pool import SandboxPool
from reprise.sandbox.settings import SandboxSettings

_SOURCE = Path(__file__).with_name("scoring.py")
_PRELOAD = ("inside.no_plots", "reasoning_gym", "sympy.parsing.sympy_parser", "sympy.utilities.lambdify")
_NO_REFERENCE = frozenset({"boxnet", "graph_color", "propositional_logic", "rubiks_cube", "rush_hour"})
FOOLED = {
    "game_of_life_halting": "takes any text for right",
    "coin_flip": 'takes "0" for right, as the beginning of every probability',
    "propositional_logic": "takes a premise, said again, for a conclusion",
}
_HARMLESS = "unknown"  # verified where such a task needs a reference, to see if its scorer works
_BLAME = {
    Ending.TIMEOUT: Reason.TIMEOUT,
    Ending.MEMORY: Reason.MEMORY,
    Ending.OUTPUT_LIMIT: Reason.OUTPUT_LIMIT,
    Ending.CRASH: Reason.CRASH,
    Ending.INVALID_RESULT: Reason.CRASH,
}


class Sandbox(Protocol):
    """What this verifier needs of `sandbox.pool.SandboxPool`."""

    @property
    def notes(self) -> list[str]: ...

    def start(self) -> None: ...

    def run(self, jobs: Sequence[Job]) -> list[JobResult]: ...

    def close(self) -> None: ...


class ReasoningGymVerifier(Verifier):
    """Scores with the scorer of the data set that `task.metadata["source_dataset"]` names; partial scores included.

    extract    where the answer stands: `tag`, `boxed`, `code` or `text` (see `find_answer`)
    tag        the element's name for `extract: tag`
    max_chars  a longer answer is not shown to the scorer and scores 0 (output_limit)
    cpu_s      CPU seconds a scorer may take; beyond them the answer scores 0 (timeout)
    memory_mb  MiB it may take
    configs    arguments of data sets whose scorer depends on them: {"puzzle24": {"max_value": 20}}
    sandbox    `sandbox.settings.SandboxSettings`
    reasoning  what opens and closes the reasoning, in which no answer stands

    A task is an entry of reasoning-gym: `task.answer` is the entry's answer (None for the few data sets that check an
    answer without one) and `task.metadata` its metadata. Where a scorer fails or hangs on an answer but not on the
    reference, the answer scores 0; if on both, it is an infra error. Text that a scorer would evaluate scores 0 unless
    it is plain arithmetic or mathematics (`scoring.py`).
    """

    @validate_call(config=ConfigDict(strict=True))
    def __init__(
        self,
        extract: Extraction = "tag",
        tag: str = "answer",
        max_chars: Annotated[int, Field(ge=1)] = 10_000,
        cpu_s: Annotated[float, Field(gt=0)] = 5.0,
        memory_mb: Annotated[int, Field(ge=64)] = 512,
        configs: dict[str, dict[str, object]] | None = None,
        sandbox: SandboxSettings | dict[str, object] | None = None,
        reasoning: Annotated[list[str], Field(min_length=2, max_length=2)] | None = None,
    ) -> None:
        self._extract, self._tag, self._max_chars = extract, tag, max_chars
        self._configs = configs or {}
        self._limits = JobLimits(cpu_s=cpu_s, wall_s=2 * cpu_s + 2, memory_mb=memory_mb)
        self._reasoning = (reasoning[0], reasoning[1]) if reasoning else THINK
        settings = SandboxSettings() if sandbox is None else SandboxSettings.model_validate(sandbox)
        self.pool: Sandbox = SandboxPool(settings, _PRELOAD)
        self._source = _SOURCE.read_text(encoding="utf-8")

    def start(self) -> None:
        data_sets()
        self.pool.start()

    def notes(self) -> list[str]:
        return self.pool.notes

    def close(self) -> None:
        self.pool.close()

    def check_task(self, task: Task) -> None:
        name = task.metadata.get("source_dataset")
        if not isinstance(name, str) or name not in data_sets():
            raise UserError(
                f"task {task.id!r}: metadata.source_dataset: reasoning-gym has no scorer of {name!r}"
                f"{did_you_mean(str(name), data_sets())}; "
                f"valid: {', '.join(sorted(data_sets()))}"
            )
        if name in FOOLED:
            raise UserError(
                f"task {task.id!r}: metadata.source_dataset: reasoning-gym's scorer of {name!r} {FOOLED[name]}; "
                "use the math or exact verifier"
            )
        if not isinstance(task.answer, str) and not (task.answer is None and name in _NO_REFERENCE):
            raise UserError(f"task {task.id!r}: answer must be a reasoning-gym entry's string, not {task.answer!r}")
        try:
            encode(_entry(task))
        except ValueRefused as error:
            raise UserError(f"task {task.id!r}: metadata: {error}") from error

    def verify(self, answers: Sequence[Answer]) -> list[Verdict]:
        verdicts: dict[int, Verdict] = {}
        jobs: dict[int, Job] = {}
        for i, answer in enumerate(answers):
            found = find_answer(answer.text, answer.truncated, self._extract, self._tag, self._reasoning)
            if found is None:
                verdicts[i] = Verdict.unparseable(Reason.NO_ANSWER)
            elif len(found) > self._max_chars:
                verdicts[i] = Verdict.scored(0.0, Reason.OUTPUT_LIMIT, f"{len(found)} characters")
            else:
                jobs[i] = self._job(answer.task, _seen(found, answer.task))
        results = dict(zip(jobs, self.pool.run(list(jobs.values())), strict=True))
        blamed = [i for i, result in results.items() if result.ending is not Ending.INFRA and _score(result) is None]
        references = self.pool.run([self._job(answers[i].task, answers[i].task.answer or _HARMLESS) for i in blamed])
        for i, reference in zip(blamed, references, strict=True):
            if _score(reference) is None:  # no answer is at fault
                explanation = f"the scorer fails on the task's reference: {reference.ending}, {reference.explanation}"
                results[i] = JobResult(Ending.INFRA, explanation=explanation)
        verdicts |= {i: _verdict(result) for i, result in results.items()}
        return [verdicts[i] for i in range(len(answers))]

    def _job(self, task: Task, answer: str) -> Job:
        name = task.metadata["source_dataset"]
        # Lone surrogates cannot cross into the sandbox as UTF-8; no reference holds one.
        text = answer.encode("utf-8", "replace").decode("utf-8")
        call = Call(function="score", args=[name, self._configs.get(name, {}), text, _entry(task)])
        return Job(source=self._source, call=call, limits=self._limits)


def _seen(found: str, task: Task) -> str:
    """The answer without what nobody sees, unless the reference has such characters."""
    reference = task.answer or ""
    return (without_invisible(found) if without_invisible(reference) == reference else found).strip()


def _entry(task: Task) -> dict[str, object]:
    return {"question": task.prompt, "answer": task.answer, "metadata": task.metadata}


def _score(result: JobResult) -> tuple[float, str] | None:
    """What the scorer gave, from 0 to 1, and why it refused the text, if it did; None if it did not end so."""
    match result.value:
        case {"score": float(score), "refused": str(refused), **more} if not more and 0 <= score <= 1:
            return score, refused
    return None


def _verdict(result: JobResult) -> Verdict:
    if result.ending in _BLAME:
        return Verdict.scored(0.0, _BLAME[result.ending], result.explanation)
    if result.ending is not Ending.OK:
        return Verdict.infra_error(Reason.INFRA, result.explanation)
    if (given := _score(result)) is None:
        return Verdict.scored(0.0, Reason.INVALID_RESULT, "the scorer gave no score from 0 to 1")
    value, refused = given
    if refused:
        return Verdict.scored(0.0, Reason.WRONG, f"not evaluated, because it is no plain expression: {refused}")
    return Verdict.scored(value, Reason.CORRECT if value >= 1 else Reason.PARTIAL if value > 0 else Reason.WRONG)


@lru_cache(maxsize=1)
def data_sets() -> frozenset[str]:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", SyntaxWarning)  # cellpylib's, while it is compiled
            importlib.import_module("reasoning_gym")  # registers its data sets
        registered = importlib.import_module("reasoning_gym.factory").DATASETS
    except ModuleNotFoundError as error:
        raise UserError(
            "the reasoning_gym verifier needs the package reasoning-gym: pip install 'reprise-rl[examples]'"
        ) from error
    return frozenset(registered) - {"composite"}  # whose entries name the data set that they come from
