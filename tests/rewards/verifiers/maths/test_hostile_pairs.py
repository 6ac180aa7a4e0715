"""What a hostile user tried on the maths verifier, topic by topic, through its real workers."""

from collections.abc import Iterator
from contextlib import suppress

import pytest
from cases_hostile_right import RIGHT
from cases_hostile_wrong import WRONG

from reprise.core.errors import UserError
from reprise.core.types import Status, Task, Verdict
from reprise.rewards.base import Answer
from reprise.rewards.verifiers.maths import MathsVerifier

pytestmark = pytest.mark.slow

Pair = tuple[str, str]


@pytest.fixture(scope="module")
def verdicts() -> Iterator[dict[Pair, Verdict]]:
    """The verdicts on all pairs whose reference is not refused when its task is loaded."""
    verifier = MathsVerifier(processes=2)
    verifier.start()
    try:
        pairs = [pair for table in (WRONG, RIGHT) for topic in table.values() for pair in topic]
        taken = [pair for pair in pairs if _is_taken(verifier, pair)]
        refused = verifier.check_tasks([task_of(pair) for pair in taken], lambda looked_at: None)
        taken = [pair for place, pair in enumerate(taken) if place not in refused]
        verified = verifier.verify([Answer(task_of(pair), rf"So $\boxed{{{pair[1]}}}$.") for pair in taken])
        yield dict(zip(taken, verified, strict=True))
    finally:
        verifier.close()


def _is_taken(verifier: MathsVerifier, pair: Pair) -> bool:
    with suppress(UserError):
        verifier.check_task(task_of(pair))
        return True
    return False


def task_of(pair: Pair) -> Task:
    return Task("t", "?", "maths", "math", pair[0])


@pytest.mark.parametrize("topic", WRONG)
def test_no_wrong_answer_earns_and_none_is_an_infra_error(verdicts: dict[Pair, Verdict], topic: str) -> None:
    verified = {pair: verdicts[pair] for pair in WRONG[topic] if pair in verdicts}
    assert verified, "all references were refused"
    assert [pair for pair, verdict in verified.items() if verdict.score == 1] == []
    assert [(pair, v.detail) for pair, v in verified.items() if v.status is Status.INFRA_ERROR] == []


@pytest.mark.parametrize("topic", RIGHT)
def test_no_right_answer_loses(verdicts: dict[Pair, Verdict], topic: str) -> None:
    assert [pair for pair in RIGHT[topic] if pair not in verdicts] == [], "refused when loaded"
    verified = {pair: verdicts[pair] for pair in RIGHT[topic]}
    assert [(pair, v.status, v.detail) for pair, v in verified.items() if v.score != 1] == []
