"""A verifier that cannot work is found before a run, by a harmless answer; one that cannot *here* is only noted."""

from typing import Any

import pytest

from reprise.core.errors import UserError
from reprise.core.types import Task
from reprise.data.tasks import TaskSets
from reprise.launch.training.trial import try_verifiers
from reprise.rewards.settings import RewardSettings

JUDGE = {"use": "llm_judge", "args": {"base_url": "http://127.0.0.1:9/v1", "model": "m", "rubric": "{answer}"}}


def tried(**uses: str | dict[str, Any]) -> list[str]:
    """What is said of verifiers that are the classes of tried_verifiers.py, or as the recipe would have them."""
    verifiers = {n: {"use": f"tried_verifiers:{use}"} if isinstance(use, str) else use for n, use in uses.items()}
    settings = RewardSettings.model_validate({"verifiers": {**verifiers, "unasked": {"use": "tried_verifiers:Raises"}}})
    tasks = tuple(Task(f"of {name}", "?", "d", name, "5") for name in uses)
    return try_verifiers(settings, TaskSets((tasks[:1],), (1.0,), tasks[1:], 0))


def test_what_cannot_verify_here_is_noted_and_what_must_not_be_tried_is_not() -> None:
    part = {"use": "compose", "args": {"parts": {"judge": JUDGE}}}
    gpu = {"use": "tried_verifiers:Raises", "gpus": 0.5}
    said = tried(
        fine="Fine",
        plain="OnlyTheMethods",
        offline="Offline",
        late="NeverStarts",
        asks="AsksNotToBe",
        judge=JUDGE,
        whole=part,
        gpu=gpu,
    )
    for name in ("asks", "judge", "whole", "gpu"):
        assert (
            f"Verifier {name} was not tried on an answer: it needs a GPU, a resource or a service of the run's." in said
        )
    notes = "\n".join(said)
    assert "verifier 'offline' raised RuntimeError: the grader does not answer (tried_verifiers.py:" in notes
    assert "verifier 'late' cannot start: RuntimeError: no GPU here" in notes
    assert 'raise RuntimeError("no GPU here")' in notes
    assert len(said) == 6


@pytest.mark.parametrize(
    ("use", "messages"),
    [
        (
            "Raises",
            [
                "rewards.verifiers.mine: tried on the answer 'I do not know.' to task 'of mine': verifier 'mine' raise",
                'raise KeyError("x")',
            ],
        ),
        (
            "Exits",
            ["tried on the answer", "died 3 times", "(its process ended with exit code 3)", "�[2Jprinted before"],
        ),
        ("Interrupts", ["died 3 times", "(its process ended with exit code 1)", "\nKeyboardInterrupt"]),
        ("Floats", ["verify returned a list of float; return one Verdict per answer, such as Verdict.scored(1.0"]),
    ],
)
def test_a_verifier_whose_code_is_wrong_is_refused_with_its_traceback(
    use: str, messages: list[str], capfd: pytest.CaptureFixture
) -> None:
    with pytest.raises(UserError) as refused:
        tried(mine=use)
    assert capfd.readouterr() == ("", "")
    assert all(message in str(refused.value) for message in messages)


def test_a_verifier_that_is_late_here_is_noted() -> None:
    [said] = tried(mine={"use": "tried_verifiers:Sleeps", "deadline_s": 0.5})
    assert "did not score a single answer within 0.5 s" in said
