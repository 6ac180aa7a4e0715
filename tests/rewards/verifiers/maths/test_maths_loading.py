"""References that no answer could ever match are refused when tasks are loaded, with the reason."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

import pytest

from reprise.core.errors import UserError
from reprise.core.types import Task
from reprise.data.settings import DataSettings
from reprise.data.tasks import check_sources
from reprise.rewards.composition import ComposeVerifier, Part
from reprise.rewards.loading import verifiable
from reprise.rewards.verifiers.maths import MathsVerifier
from reprise.rewards.workers.workers import Limits, WorkerPool

pytestmark = pytest.mark.slow

BEYOND_VERIFYING = {
    r"{}_{10}C_3": "cannot be read",
    "x'_{2}_{3}": "cannot be read",
    "1/0": "is undefined",
    r"\frac{0}{0}": "is undefined",
    r"\infty-\infty": "is undefined",
    r"\log 0": "is undefined",
    r"\tan 90^\circ": "is undefined",
    r"\frac{1}{\frac{1}{0}}": "is undefined",
    "x=1/0": "is undefined",
    "(0, 1/0)": "is undefined",
    r"2, \frac{1}{0}": "is undefined",
    "e^{e^{e^{e^{5}}}}": "ends in a",
}
VERIFIABLE = [
    r"\infty", r"-\infty", r"(-\infty, 2]", r"x \in \mathbb{R}", "10^{10^{10}}", "2^{2024}-1", r"\text{no solution}",
    r"m_{\max}=n^2-n-1", r"\sqrt{2}", "f(x)=x^2", "x^2+y^2=1", r"\frac{x}{0.5}", r"1010_2", r"\pm 2", r"\emptyset",
    r"\begin{pmatrix}1\\2\end{pmatrix}", r"x \approx 1.3098", "2^5=32", r"A=\begin{pmatrix}1\\2\end{pmatrix}", "B",
    r"(x,y)=(7,3)", "12:30", "1:2:3", r"\{x \mid x>2\}", r"\sum_{k=1}^{10} k", r"\frac{dy}{dx}=2x",
]  # fmt: skip


def tasks(references: list[str]) -> list[Task]:
    return [Task(str(i), "?", "maths", "math", reference) for i, reference in enumerate(references)]


def test_references_that_cannot_be_verified_are_refused_with_the_reason_and_no_others() -> None:
    asked = tasks([*BEYOND_VERIFYING, *VERIFIABLE])
    verifier = MathsVerifier(cpu_s=2.0)
    for task in asked:
        verifier.check_task(task)
    looked_at: list[int] = []
    refused = verifier.check_tasks(asked, looked_at.append)
    assert {place: asked[place].answer for place in refused} == dict(enumerate(BEYOND_VERIFYING))
    wrong = [why for place, why in refused.items() if list(BEYOND_VERIFYING.values())[place] not in why]
    assert wrong == []
    assert all(why.startswith(f"task '{place}': answer: ") for place, why in refused.items())
    assert looked_at
    assert verifier.pool.pids == [], "the verifier's own workers are not started for it"


def test_numbers_and_words_need_no_worker_when_loaded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("reprise.rewards.verifiers.maths.loading.WorkerPool", None)
    plain = tasks(["5", "0.5", r"\frac{1}{2}", r"\text{Tuesday}", "(1,2)", "1, 2", r"10\%", r"5\text{ cm}"])
    assert MathsVerifier().check_tasks(plain, print) == {}


def test_references_that_no_worker_could_check_are_reported(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(
        "reprise.rewards.verifiers.maths.loading._EXAMINER", "reprise.rewards.verifiers.maths.worker:missing"
    )
    assert MathsVerifier().check_tasks(tasks([r"\sqrt{11}", r"\sqrt{13}"]), print) == {}
    said = capsys.readouterr().err
    assert said.startswith("2 references could not be checked, '\\\\sqrt{11}' first: ")
    assert "missing" in said


def test_a_reference_is_looked_at_once_in_a_process(monkeypatch: pytest.MonkeyPatch) -> None:
    again = tasks([r"\sqrt{7}", r"\sqrt{7}"])
    assert MathsVerifier().check_tasks(again, print) == {}
    monkeypatch.setattr("reprise.rewards.verifiers.maths.loading.WorkerPool", None)
    assert MathsVerifier().check_tasks(again, print) == {}


def test_what_is_too_slow_for_one_verifier_is_not_refused_by_a_more_patient_one(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def examined(
        waiting: Sequence[str], pool: WorkerPool, report: Callable[[int], None]
    ) -> tuple[dict[str, str], dict[str, str]]:
        return dict.fromkeys(waiting, "too slow" if pool._limits.cpu_s < 1 else ""), {}

    monkeypatch.setattr("reprise.rewards.verifiers.maths.loading._examine", examined)
    asked = tasks([r"\sqrt{13}"])
    assert "too slow" in MathsVerifier(cpu_s=1.0).check_tasks(asked, print)[0]
    assert MathsVerifier(cpu_s=8.0).check_tasks(asked, print) == {}


def test_a_machine_that_starts_no_worker_refuses_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        "reprise.rewards.verifiers.maths.loading._EXAMINER", "reprise.rewards.verifiers.maths.worker:nothing"
    )
    monkeypatch.setattr("reprise.rewards.workers.workers.START_ATTEMPTS", 1)
    monkeypatch.setattr(
        "reprise.rewards.verifiers.maths.verifier.Limits", lambda *_: Limits(1.0, 2.0, 1024, start_s=20.0)
    )
    assert MathsVerifier().check_tasks(tasks([r"\sqrt{11}"]), print) == {}


def test_the_message_names_file_line_and_task(tmp_path: Path) -> None:
    path = tmp_path / "tasks.jsonl"
    records = [{"id": f"t{i}", "prompt": f"{i}?", "domain": "m", "verifier": "math"} for i in range(3)]
    answers = ["5", r"\sqrt{2}", "1/0"]
    path.write_text("".join(json.dumps({**r, "answer": a}) + "\n" for r, a in zip(records, answers, strict=True)))
    data = DataSettings.model_validate({"train": [{"path": str(path)}], "held_out": []})
    with pytest.raises(UserError, match=r"tasks.jsonl:3: task 't2': answer: '1/0' cannot be .*undefined"):
        check_sources(data, partial(verifiable, {"math": MathsVerifier()}))


def test_a_part_of_a_composition_is_asked_too() -> None:
    composed = ComposeVerifier(parts={"right": Part(use="math", weight=1.0)})
    [(place, why)] = composed.check_tasks(tasks(["1", "1/0"]), print).items()
    assert (place, why[:13]) == (1, "part 'right':")
