"""The contract of a verifier, as checks that a plug-in's author runs on their own class.

`reprise.rewards.contract_suite` runs them from the command line (docs/verifiers.md). In a test of one's own:

def test_my_verifier_keeps_the_contract() -> None:
    task = Task(id="1", prompt="2+2?", domain="sums", verifier="mine", answer="4")
    check_contract(MyVerifier, right=Answer(task, "<ans>4</ans>"), wrong=Answer(task, "<ans>5</ans>"))
"""

from __future__ import annotations

import json
from collections.abc import Callable

from reprise.core.types import Status, Verdict
from reprise.rewards.base import Answer, Verifier
from reprise.rewards.infra_errors import no_verdicts

HOSTILE_TEXTS = {
    "empty": "",
    "blank": " \n\t ",
    "NUL characters": "\0" * 100,
    "lone surrogates": "\ud800\udfff",
    "mixed scripts, combining marks and direction changes": "٣ à́́́ \u202e321\u202c 𝟜 👩‍👩‍👧 \ufeff\uffff",
    "reasoning that never ends": "<think>" + "so it is 4, or is it? " * 50,
    "tags opened and never closed": "<ans>" * 20_000 + "<answer>" * 20_000,
    "boxes opened and never closed": r"\boxed{" * 20_000,
    "tags inside out": "</ans></answer></think><ans><answer>" * 2_000,
    "a megabyte of text": "wait, " * 170_000,
    "a megabyte in every kind of element": "<ans><answer>\\boxed{" + "9" * 1_000_000 + "}</answer></ans>",
    "text that looks like code": "<ans>__import__('os')._exit(1)</ans><answer>exit()</answer>\\boxed{__import__('os')}",
}


def check_contract(make: Callable[[], Verifier], right: Answer, wrong: Answer) -> None:
    """Raise AssertionError, saying what is broken, unless the verifiers that `make` builds keep the contract.

    right, wrong  answers to one task that must be scored, the right one higher
    """
    check_life(make)
    verifier = make()
    verifier.check_task(right.task)
    verifier.start()
    try:
        check_order(verifier, right, wrong)
        for name in HOSTILE_TEXTS:
            check_hostile_text(verifier, name, right)
        check_truncated(verifier, right)
        check_still_well(verifier, right, wrong)
    finally:
        verifier.close()
        verifier.close()


def check_life(make: Callable[[], Verifier]) -> None:
    """`close` may come without `start`, and twice."""
    never_started = make()
    never_started.close()
    never_started.close()


def check_order(verifier: Verifier, right: Answer, wrong: Answer) -> None:
    """The right answer scores more than the wrong one, alone and in a batch, in the batch's order."""
    assert list(verifier.verify([])) == [], "no answers must give no verdicts"
    good, bad = _verify(verifier, [right])[0], _verify(verifier, [wrong])[0]
    assert good.score is not None, f"the right answer must be scored, not {good}"
    assert bad.score is not None, f"the wrong answer must be scored, not {bad}"
    assert good.score > bad.score, f"the right answer must score more than the wrong one: {good.score}, {bad.score}"
    scores = [verdict.score for verdict in _verify(verifier, [wrong, right, right, wrong])]
    assert scores == [bad.score, good.score, good.score, bad.score], f"verdicts must come in order, not as {scores}"


def check_hostile_text(verifier: Verifier, name: str, right: Answer) -> None:
    """A text of `HOSTILE_TEXTS` is no infra error, scores less than the right answer, and scores the same twice."""
    answers = [Answer(right.task, HOSTILE_TEXTS[name]), right]
    one, best = _verify(verifier, answers)
    other = _verify(verifier, answers)[0]
    assert one.status is not Status.INFRA_ERROR, f"{name}: is the answer's doing and no infra_error: {one}"
    assert one.score is None or one.score < (best.score or 0), f"{name}: scores like the right answer: {one}"
    assert (one.status, one.score) == (other.status, other.score), f"{name}: verified twice, {one} and {other}"


def check_truncated(verifier: Verifier, right: Answer) -> None:
    """A response that was cut off before it said anything is unparseable."""
    [truncated] = _verify(verifier, [Answer(right.task, "", truncated=True)])
    assert truncated.status is Status.UNPARSEABLE, f"a truncated response without an answer is unparseable: {truncated}"


def check_still_well(verifier: Verifier, right: Answer, wrong: Answer) -> None:
    """After hostile answers, and all of them at once, honest ones are scored as before."""
    hostile = [Answer(right.task, text) for text in HOSTILE_TEXTS.values()]
    good, *_, bad = _verify(verifier, [right, *hostile, wrong])
    assert good.score is not None, f"among hostile answers the right one must still be scored, not {good}"
    assert bad.score is not None, f"after hostile answers, honest ones must be scored again, not {bad}"
    assert good.score > bad.score, (
        f"after hostile answers the right one scores no more than the wrong one: {good}, {bad}"
    )


def _verify(verifier: Verifier, answers: list[Answer]) -> list[Verdict]:
    verdicts = verifier.verify(answers)
    broken = no_verdicts(type(verifier).__name__, verdicts, len(answers))
    assert broken is None, broken.explanation
    for verdict in verdicts:
        try:
            json.dumps(dict(verdict.detail), allow_nan=False)
        except (TypeError, ValueError) as error:
            raise AssertionError(f"a verdict's detail must be JSON ({error}): {verdict}") from None
    return verdicts
