"""The reasoning-gym verifier: that package's own scorers, where they can be trusted with a policy's text."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Sequence
from difflib import get_close_matches
from types import ModuleType
from typing import Annotated, Any

from pydantic import ConfigDict, Field, validate_call

from buffer.errors import UserError
from buffer.types import Task, Verdict
from rewards.base import Answer, Reason, Verifier
from rewards.parsing import Extraction, find_answer

# Read in reasoning-gym 0.1.25, scorer by scorer. Several of the others call `eval` or sympy's `parse_expr` (which is
# eval) on the answer, can be hung (`coin_flip` builds Fraction("1e999999999")), or accept wrong answers
# (`game_of_life_halting`). The first lines compare strings with the scorer of ProceduralDataset, which gives part of
# the point for an answer that holds the right one; the last two compare strings, words or decimals in their own ways.
SAFE_DATASETS = frozenset(
    """aiw base_conversion basic_arithmetic binary_alternation caesar_cipher count_bits count_primes course_schedule gcd
    isomorphic_strings largest_island lcm leg_counting letter_counting maze modulo_grid number_filtering number_sequence
    ransom_note rotate_matrix rotten_oranges simple_equations simple_geometry string_manipulation string_splitting
    string_synthesis syllogism word_sequence_reversal
    chain_sum decimal_chain_sum dice family_relationships knights_knaves needle_haystack number_format path_star
    products self_reference sentence_reordering spell_backward word_sorting""".split()  # noqa: SIM905
)

Score = Callable[[str, dict[str, Any]], float]


class ReasoningGymVerifier(Verifier):
    """Scores with the scorer of the data set that `task.metadata["source_dataset"]` names; partial scores included.

    extract    where the answer stands: `tag`, `boxed` or `text` (see `find_answer`)
    tag        the element's name for `extract: tag`
    max_chars  a longer answer is not shown to the scorer and scores 0 (output_limit)

    A task is an entry of reasoning-gym: `task.answer` is the entry's answer and `task.metadata` its metadata.
    """

    @validate_call(config=ConfigDict(strict=True))
    def __init__(
        self, extract: Extraction = "tag", tag: str = "answer", max_chars: Annotated[int, Field(ge=1)] = 10_000
    ) -> None:
        self._extract, self._tag, self._max_chars = extract, tag, max_chars
        self._scorers: dict[str, Score] = {}

    def start(self) -> None:
        _package()

    def check_task(self, task: Task) -> None:
        if not isinstance(task.answer, str):
            raise UserError(f"task {task.id!r}: answer must be a reasoning-gym entry's string, not {task.answer!r}")
        self._scorer(task)

    def judge(self, answers: Sequence[Answer]) -> list[Verdict]:
        return [self._judge(answer) for answer in answers]

    def _judge(self, answer: Answer) -> Verdict:
        found = find_answer(answer.text, answer.truncated, self._extract, self._tag)
        if found is None:
            return Verdict.unparseable(Reason.NO_ANSWER)
        if len(found) > self._max_chars:
            return Verdict.scored(0.0, Reason.OUTPUT_LIMIT, f"{len(found)} characters")
        score = self._scorer(answer.task)
        entry = {"question": answer.task.prompt, "answer": answer.task.answer, "metadata": answer.task.metadata}
        try:
            value = float(score(found.strip(), entry))
        except Exception as error:  # noqa: BLE001 - whose fault it is, the reference tells
            score(answer.task.answer, entry)  # raises too if the entry is broken: then it is not the answer's fault
            return Verdict.scored(0.0, Reason.CRASH, type(error).__name__)
        reason = Reason.CORRECT if value >= 1 else Reason.PARTIAL if value > 0 else Reason.WRONG
        return Verdict.scored(value, reason)

    def _scorer(self, task: Task) -> Score:
        name = task.metadata.get("source_dataset")
        if not isinstance(name, str) or name not in SAFE_DATASETS:
            near = get_close_matches(str(name), SAFE_DATASETS, n=1)
            hint = f" (did you mean {near[0]!r}?)" if near else ""
            raise UserError(
                f"task {task.id!r}: metadata.source_dataset: reasoning-gym's scorer of {name!r} is not among those "
                f"known to be safe{hint}; several evaluate the answer as code. Judge other data sets with the math or "
                f"exact verifier. Safe are: {', '.join(sorted(SAFE_DATASETS))}"
            )
        if name not in self._scorers:
            self._scorers[name] = _package().get_score_answer_fn(name)
        return self._scorers[name]


def _package() -> ModuleType:
    try:
        return importlib.import_module("reasoning_gym")
    except ModuleNotFoundError as error:
        raise UserError("the reasoning_gym verifier needs the package reasoning-gym: install it") from error
