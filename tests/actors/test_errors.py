"""What a run says of an actor that failed."""

from __future__ import annotations

from ray.exceptions import ActorDiedError

from reprise.actors.errors import ActorFailure

CORE_IS_GONE = RuntimeError("the engine's core process has died; its log says why")
TRACEBACK = """\
(EngineCore pid=7) ERROR 11-29 22:00:50 [core.py:1150] Traceback (most recent call last):
(EngineCore pid=7) ERROR 11-29 22:00:50 [core.py:1150]   File "core.py", line 1, in run
(EngineCore pid=7) ERROR 11-29 22:00:50 [core.py:1150] ValueError: Head size 20 is not supported
"""


def explained(actor: str, error: BaseException, log: str = "", killed: int | None = 0) -> str:
    failure = ActorFailure(actor, error)
    failure.explain(log, "runs/x/logs/a.log", killed)
    return str(failure)


def test_an_error_that_says_itself_what_it_is_stays_as_it_is() -> None:
    said = explained("learner 1", RuntimeError("CUDA out of memory. Tried to allocate 20 GiB"), TRACEBACK)
    assert said == (
        "learner 1 has failed: RuntimeError: CUDA out of memory. Tried to allocate 20 GiB\nits log: runs/x/logs/a.log"
    )


def test_an_error_that_points_at_a_log_is_replaced_by_what_stands_there() -> None:
    said = explained("engine 0", CORE_IS_GONE, TRACEBACK)
    assert said == "engine 0 has failed: ValueError: Head size 20 is not supported\nits log: runs/x/logs/a.log"


def test_a_process_that_left_no_trace_was_killed_and_perhaps_for_its_memory() -> None:
    said = explained("learner 1", ActorDiedError(), killed=1)
    assert "learner 1 has failed: its process was killed without a trace in its log (SIGKILL)" in said
    assert "out of memory: the kernel killed 1 process there" in said
    assert "the kernel killed nothing for memory" in explained("learner 1", ActorDiedError(), killed=0)
    assert "`dmesg` there tells" in explained("learner 1", ActorDiedError(), killed=None)
    assert "has died without a trace in its log; out of memory" in explained("engine 0", CORE_IS_GONE, killed=2)


def test_a_crash_in_native_code_is_told_by_its_signal() -> None:
    assert "SIGSEGV, a crash in native code" in explained(
        "learner 0", ActorDiedError(), "*** SIGSEGV received at time=1"
    )
