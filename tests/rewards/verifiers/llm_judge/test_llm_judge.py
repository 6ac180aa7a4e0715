"""The LLM judge: grades, concurrency, its cache, and what is refused; a real one is in test_llm_judge_vllm.py."""

from __future__ import annotations

import json
import sqlite3
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from judge_server import JudgeServer, error, grade
from judging import TASK, judge

from reprise.core.errors import UserError
from reprise.core.types import Status, Task
from reprise.rewards.base import Answer
from reprise.rewards.contract import check_contract
from reprise.rewards.verifiers.llm_judge.verifier import LlmJudgeVerifier

# --- scores -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("args", "given", "score", "reason"),
    [
        ({}, 10, 1, "correct"),
        ({}, 7, 0.7, "partial"),
        ({}, 0, 0, "wrong"),
        ({"low": 1, "high": 5}, 1, 0, "wrong"),
        ({"low": 1, "high": 5}, 4, 0.75, "partial"),
    ],
)
def test_a_score_is_normalised_and_the_judges_own_words_are_kept(
    server: JudgeServer, make: Callable[..., LlmJudgeVerifier], args: dict, given: int, score: float, reason: str
) -> None:
    server.reply = lambda body: grade(given, "because")
    [verdict] = judge(make(**args), "light scatters")
    assert (verdict.score, verdict.reason) == (score, reason)
    assert (verdict.explanation, verdict.detail["judge_score"]) == ("because", given)


def test_the_request_is_deterministic_structured_and_carries_the_key(
    server: JudgeServer, make: Callable[..., LlmJudgeVerifier], tmp_path: Path
) -> None:
    (tmp_path / "key").write_text("secret-1\n")
    server.reply = lambda body: grade(2)
    judge(make(api_key_file=str(tmp_path / "key"), low=1, high=3), "x")
    [request] = server.requests
    assert (request["model"], request["temperature"], request["key"]) == ("judge", 0, "Bearer secret-1")
    schema = request["response_format"]["json_schema"]["schema"]
    assert schema["properties"]["score"]["enum"] == [1, 2, 3]


def test_fields_of_the_request_may_be_added_changed_and_left_out(
    server: JudgeServer, make: Callable[..., LlmJudgeVerifier]
) -> None:
    judge(make(request={"seed": None, "chat_template_kwargs": {"enable_thinking": False}}), "x")
    assert "seed" not in server.requests[0]
    assert server.requests[0]["chat_template_kwargs"] == {"enable_thinking": False}


def test_only_the_answer_part_is_shown(server: JudgeServer, make: Callable[..., LlmJudgeVerifier]) -> None:
    judge(make(), "<think>SECRET</think>PUBLIC")
    judge(make(extract="tag", tag="ans"), "SECRET <ans>PUBLIC</ans>")
    assert all("PUBLIC" in text and "SECRET" not in text for text in server.texts)


@pytest.mark.parametrize(
    ("text", "truncated", "status", "reason"),
    [
        ("", False, Status.UNPARSEABLE, "no_answer"),
        ("<think>and so", False, Status.UNPARSEABLE, "no_answer"),
        ("it scatt", True, Status.UNPARSEABLE, "no_answer"),
        ("\u200b\ufeff", False, Status.UNPARSEABLE, "no_answer"),
        ("x" * 101, False, Status.SCORED, "output_limit"),
    ],
)
def test_what_cannot_be_judged_is_not_shown(
    server: JudgeServer,
    make: Callable[..., LlmJudgeVerifier],
    text: str,
    truncated: bool,
    status: Status,
    reason: str,
) -> None:
    [verdict] = judge(make(max_chars=100), text, truncated=truncated)
    assert (verdict.status, verdict.reason, server.requests) == (status, reason, [])


# --- concurrency and cache --------------------------------------------------------------------------------------------


def test_no_more_requests_at_a_time_than_allowed_over_all_threads(
    server: JudgeServer, make: Callable[..., LlmJudgeVerifier]
) -> None:
    server.seconds = 0.05
    verifier = make(concurrency=3)
    threads = [threading.Thread(target=judge, args=(verifier, *(f"{n} {i}" for i in range(6)))) for n in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (server.most, len(server.requests)) == (3, 18)


def test_equal_answers_are_judged_once_also_later(server: JudgeServer, make: Callable[..., LlmJudgeVerifier]) -> None:
    verifier = make()
    judge(verifier, "x", "y", "x")
    judge(verifier, "x")
    assert len(server.requests) == 2
    other_task = Task("2", "Why is the sea blue?", "d", "v", "reflection")
    verifier.verify([Answer(other_task, "x")])
    judge(make(rubric="Only this: {answer}"), "x")
    assert len(server.requests) == 4, "another task, another rubric: another question"


def test_failures_are_not_remembered(server: JudgeServer, make: Callable[..., LlmJudgeVerifier]) -> None:
    server.script = [error(404)]
    verifier = make()
    assert [judge(verifier, "x")[0].score for _ in range(2)] == [None, 1]


def test_memory_is_bounded(server: JudgeServer, make: Callable[..., LlmJudgeVerifier]) -> None:
    verifier = make(cache_size=2)
    judge(verifier, "a", "b", "c")
    judge(verifier, "c")
    judge(verifier, "a")
    assert len(server.requests) == 4


def test_a_cache_file_serves_other_processes_and_later_runs(
    server: JudgeServer, make: Callable[..., LlmJudgeVerifier], tmp_path: Path
) -> None:
    file = str(tmp_path / "new" / "cache.sqlite")
    writers = [make(cache_file=file) for _ in range(4)]
    threads = [threading.Thread(target=judge, args=(writer, *(str(n) for n in range(20)))) for writer in writers]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    asked = len(server.requests)
    verdicts = judge(make(cache_file=file), *(str(n) for n in range(20)))
    assert [verdict.score for verdict in verdicts] == [1] * 20
    assert len(server.requests) == asked


def test_a_file_that_is_no_cache_is_refused_and_left_alone(
    make: Callable[..., LlmJudgeVerifier], tmp_path: Path
) -> None:
    (tmp_path / "cache").write_text("precious " * 1000)
    with pytest.raises(UserError, match=r"cache_file .*: file is not a database"):
        make(cache_file=str(tmp_path / "cache")).start()
    assert (tmp_path / "cache").read_text() == "precious " * 1000


def test_a_cache_file_that_breaks_or_lies_is_a_miss(
    server: JudgeServer, make: Callable[..., LlmJudgeVerifier], tmp_path: Path
) -> None:
    file = tmp_path / "cache"
    first = make(cache_file=str(file))
    judge(first, "x")
    with sqlite3.connect(file) as database:
        database.execute("update replies set score = 1000")
    assert judge(make(cache_file=str(file)), "x")[0].score == 1
    with sqlite3.connect(file) as database:
        database.execute("drop table replies")
    assert judge(make(cache_file=str(file)), "x")[0].score == 1


# --- what is refused --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("args", "message"),
    [
        ({"rubric": "{prompt}"}, r"\{answer\} does not occur"),
        ({"rubric": "{answr} {answer}"}, r"\{answr\} is no placeholder.*did you mean \{answer\}"),
        ({"base_url": "judge:8000"}, "base_url must be an address"),
        ({"base_url": "http://user:key@judge/v1"}, "base_url must be an address"),
        ({"low": 5, "high": 5}, "high must be above low"),
        ({"high": 1000}, "by at most 100"),
        ({"deadline_s": 0.5}, "deadline_s must be at least timeout_s"),
        ({"specials": ["x"]}, "at least two characters"),
    ],
)
def test_settings_that_make_no_sense_are_refused(
    make: Callable[..., LlmJudgeVerifier], args: dict[str, Any], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        make(**args)


@pytest.mark.parametrize("content", [None, "", "two words", "é"])
def test_a_key_file_that_holds_no_key_is_refused_at_the_start(
    make: Callable[..., LlmJudgeVerifier], tmp_path: Path, content: str | None
) -> None:
    if content is not None:
        (tmp_path / "key").write_text(content)
    with pytest.raises(UserError, match="api_key_file"):
        make(api_key_file=str(tmp_path / "key")).start()


def test_a_task_without_the_reference_that_the_rubric_speaks_of_is_refused(
    make: Callable[..., LlmJudgeVerifier],
) -> None:
    without = Task("1", "?", "d", "v")
    make(rubric="{answer}").check_task(without)
    with pytest.raises(UserError, match=r"task '1': answer: missing"):
        make().check_task(without)


# --- contract ---------------------------------------------------------------------------------------------------------


def test_the_judge_keeps_the_contract(server: JudgeServer, make: Callable[..., LlmJudgeVerifier]) -> None:
    server.reply = lambda body: grade(9 if "light scatters" in json.dumps(body["messages"]) else 1)
    check_contract(make, Answer(TASK, "light scatters"), Answer(TASK, "magic"))
