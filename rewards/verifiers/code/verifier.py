"""The code verifier: runs the program of an answer against the task's tests, in the sandbox, and compares outside."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import Annotated

from pydantic import ConfigDict, Field, validate_call

from reprise.core.errors import UserError
from reprise.core.types import Task, Verdict
from reprise.rewards.base import Answer, Reason, Verifier
from reprise.rewards.parsing import last_code_block
from reprise.rewards.verifiers.code.asserts import Assertion, Relation
from reprise.rewards.verifiers.code.compare import same_text, same_value
from reprise.rewards.verifiers.code.forms import CallTest, Problem, StdinTest, Test, read_problem
from reprise.rewards.verifiers.code.tester import run_assertion
from reprise.sandbox.base import Call, Ending, Job, JobLimits, JobResult
from reprise.sandbox.pool import SandboxPool
from reprise.sandbox.settings import SandboxSettings

_GRACE_S = 2.0  # of `deadline_s`: for what is no job
_REASONS = {
    Ending.TIMEOUT: Reason.TIMEOUT,
    Ending.MEMORY: Reason.MEMORY,
    Ending.OUTPUT_LIMIT: Reason.OUTPUT_LIMIT,
    Ending.CRASH: Reason.CRASH,
    Ending.INVALID_RESULT: Reason.INVALID_RESULT,
    Ending.INFRA: Reason.INFRA,
}


@dataclass(frozen=True, slots=True)
class _Outcome:
    """Of one test: `reason` is CORRECT, WRONG, or how its job ended."""

    reason: Reason
    explanation: str = ""


class CodeVerifier(Verifier):
    """Scores 1 if the program passes every test, else 0.

    partial          score the share of tests passed instead; every test is run
    time_limit_s     CPU seconds a test, where the task does not say (`metadata.time_limit_s`); twice that and one
                     second more on the clock
    memory_limit_mb  MiB a test, where the task does not say (`metadata.memory_limit_mb`)
    max_chars        a longer program is not run and scores 0 (output_limit)
    languages        commands for programs in other languages than Python, by `metadata.language`: {"bash": {"file":
                     "main.sh", "argv": ["bash", "main.sh"]}}; needs namespaces (backend zygote or oneshot)
    preload          modules that are imported before programs are forked, so that importing them costs nothing
    prelude          source that runs before each Python program, such as "from typing import *" for data sets whose
                     programs count on it
    sandbox          `sandbox.settings.SandboxSettings`

    The program is the last complete fenced code block of the answer part; none is `no_answer`. `task.answer` holds the
    tests (`verifiers.code.forms`). Each test is a run of its own, and the first that fails is an answer's verdict.
    """

    @validate_call(config=ConfigDict(strict=True))
    def __init__(
        self,
        partial: bool = False,
        time_limit_s: Annotated[float, Field(gt=0)] = 5.0,
        memory_limit_mb: Annotated[int, Field(ge=16)] = 512,
        max_chars: Annotated[int, Field(ge=1)] = 100_000,
        languages: dict[str, dict[str, object]] | None = None,
        preload: list[str] | None = None,
        prelude: str = "",
        sandbox: SandboxSettings | dict[str, object] | None = None,
    ) -> None:
        self._partial, self._max_chars, self._prelude = partial, max_chars, prelude
        try:
            compile(prelude, "prelude", "exec")
        except SyntaxError as error:
            raise ValueError(f"prelude is no Python: {error}") from error
        self._defaults = JobLimits(cpu_s=time_limit_s, memory_mb=memory_limit_mb)
        self._languages = {name.lower(): _command(name, given) for name, given in (languages or {}).items()}
        settings = SandboxSettings() if sandbox is None else SandboxSettings.model_validate(sandbox)
        self.pool = SandboxPool(settings, ["numpy"] if preload is None else preload)
        self._deadline_s = math.inf

    def within(self, deadline_s: float) -> None:
        self._deadline_s = deadline_s

    def start(self) -> None:
        self.pool.start()

    def notes(self) -> list[str]:
        return self.pool.notes

    def close(self) -> None:
        self.pool.close()

    def check_task(self, task: Task) -> None:
        problem = read_problem(task, self._defaults)
        if problem.limits.wall_s + _slack_s(problem.limits) > self._deadline_s:
            seconds = problem.limits.cpu_s
            needed = problem.limits.wall_s + _slack_s(problem.limits)
            raise UserError(
                f"task {task.id!r}: metadata.time_limit_s {seconds:g} does not fit the verifier's deadline_s "
                f"{self._deadline_s:g}: a test may need {needed:g} s (twice, each 2 x {seconds:g} + 1)"
            )
        language = problem.language
        if language != "python" and language not in self._languages:
            raise UserError(
                f"task {task.id!r}: metadata.language {language!r} is not python and has no command in the verifier's "
                f"args.languages ({', '.join(sorted(self._languages)) or 'which is empty'})"
            )

    def verify(self, answers: Sequence[Answer]) -> list[Verdict]:
        # Samples of one group often agree: each distinct program is run once for its task.
        programs = [last_code_block(answer.text) for answer in answers]
        distinct: dict[tuple[int, str], int] = {}
        for i, (answer, program) in enumerate(zip(answers, programs, strict=True)):
            if program is not None:
                distinct.setdefault((id(answer.task), program), i)
        if not distinct:
            return [Verdict.unparseable(Reason.NO_ANSWER) for _ in answers]
        self.pool.start()
        with ThreadPoolExecutor(self.pool.settings.slots, "code") as threads:
            found = threads.map(lambda key: self._verdict(answers[distinct[key]].task, key[1]), distinct)
            verdicts = dict(zip(distinct, found, strict=True))
        return [
            Verdict.unparseable(Reason.NO_ANSWER) if program is None else verdicts[(id(answer.task), program)]
            for answer, program in zip(answers, programs, strict=True)
        ]

    def _verdict(self, task: Task, program: str) -> Verdict:
        if len(program) > self._max_chars:
            return Verdict.scored(0.0, Reason.OUTPUT_LIMIT, f"a program of {len(program)} characters")
        problem = read_problem(task, self._defaults)
        turn = _Turn(self.pool, self._deadline_s - _slack_s(problem.limits))
        passed, failed = 0, None
        for number, test in enumerate(problem.tests):
            outcome = self._run(problem, test, program, turn.run)
            if outcome.reason is Reason.INFRA:
                return Verdict.infra_error(Reason.INFRA, f"test {number}: {outcome.explanation}")
            if outcome.reason is Reason.CORRECT:
                passed += 1
                continue
            failed = failed or (number, outcome)
            if not self._partial:
                break
        tests = len(problem.tests)
        if failed is None:
            return Verdict.scored(1.0, Reason.CORRECT, passed=passed, tests=tests)
        number, outcome = failed
        score, reason = (passed / tests, Reason.PARTIAL) if self._partial and passed else (0.0, outcome.reason)
        return Verdict.scored(
            score, reason, _explained(number, outcome), passed=passed, tests=tests, failed_test=number
        )

    def _run(self, problem: Problem, test: Test, program: str, run: Callable[[Job], JobResult]) -> _Outcome:
        limits = problem.limits
        if isinstance(test, Assertion) and not test.expression:
            candidate = Job(source=program, limits=limits, prelude=self._prelude)
            tested = run_assertion(test, candidate, run)
            if tested.ended is not None:
                return _Outcome(_REASONS[tested.ended.ending], tested.explanation)
            return _Outcome(Reason.CORRECT if tested.passed else Reason.WRONG, tested.explanation)
        if isinstance(test, StdinTest):
            result = run(self._program_job(problem, program, test.stdin))
        else:
            if isinstance(test, CallTest):
                call = Call(test.function, test.args, test.kwargs)
            else:
                call = Call(expression=test.expression, setup=test.setup, then=test.then)
            result = run(Job(source=program, call=call, limits=limits, prelude=self._prelude))
        if result.ending is not Ending.OK:
            return _Outcome(_REASONS[result.ending], result.explanation)
        return _compare(problem, test, result)

    def _program_job(self, problem: Problem, program: str, stdin: str) -> Job:
        given = stdin.encode(errors="surrogatepass")
        job = Job(source=program, stdin=given, limits=problem.limits, prelude=self._prelude)
        if problem.language == "python":
            return job
        file, argv = self._languages[problem.language]
        return replace(job, source="", argv=argv, files={file: program.encode(errors="replace")})


def _slack_s(limits: JobLimits) -> float:
    """What must be left of an answer's time when a job begins: that it misses its deadline, and once more alone."""
    return limits.wall_s + _GRACE_S


class _Turn:
    """One answer's use of the pool: its jobs have a bounded time together, and one second run for idling at most.

    To that time counts what this thread does about them: millions of values are read and compared for seconds.
    """

    def __init__(self, pool: SandboxPool, seconds: float) -> None:
        self._pool, self._left_s, self._patient = pool, seconds, True
        self._seen_s = time.thread_time()

    def run(self, job: Job) -> JobResult:
        before, self._seen_s = self._seen_s, time.thread_time()
        self._left_s -= self._seen_s - before
        if self._left_s < job.limits.wall_s:
            return JobResult(Ending.TIMEOUT, explanation="its tests together take longer than the verifier may")
        result = self._pool.run_one(job, self._patient)
        self._left_s -= result.runs * result.wall_s
        self._patient = self._patient and result.runs == 1
        return result


def _compare(problem: Problem, test: Test, result: JobResult) -> _Outcome:
    if isinstance(test, StdinTest):
        try:
            printed = result.stdout.decode("utf-8")
        except UnicodeDecodeError:
            return _Outcome(Reason.INVALID_RESULT, "its output is not UTF-8")
        right = same_text(test.stdout, printed, problem.tolerance)
    elif isinstance(test, CallTest):
        right = same_value(test.expected, result.value, from_json=True, tolerance=problem.tolerance)
    elif test.relation is Relation.EQUAL:
        right = same_value(test.expected, result.value, from_json=False, tolerance=problem.tolerance)
    else:
        right = result.value is test.expected
    return _Outcome(Reason.CORRECT if right else Reason.WRONG)


def _explained(number: int, outcome: _Outcome) -> str:
    return f"test {number}" + (f": {outcome.explanation}" if outcome.explanation else "")


def _command(name: str, given: Mapping[str, object]) -> tuple[str, tuple[str, ...]]:
    """The file that a program is written to, and what is run."""
    match given:
        case {"file": str(file), "argv": list(argv), **more} if file and "/" not in file and argv and not more:
            if all(isinstance(word, str) for word in argv):
                return file, tuple(argv)
    raise ValueError(f'languages.{name} must be {{"file": "main.sh", "argv": ["bash", "main.sh"]}}, not {given!r}')
