"""What an actor's error looks like to the rest of the run."""

from __future__ import annotations

from ray.exceptions import RayTaskError

from buffer.errors import RunError


class ActorFailure(RunError):
    """An actor of the run has died or failed; the message says which and why."""

    def __init__(self, name: str, error: BaseException) -> None:
        cause = unwrapped(error)
        # Ray's death notices are long; their first lines hold the cause.
        lines = [line.strip() for line in str(cause).strip().splitlines()[:6]]
        super().__init__(f"{name} has failed: {type(cause).__name__}: {' '.join(lines)}")


def unwrapped(error: BaseException) -> BaseException:
    """What an actor raised, without Ray's wrapping."""
    while isinstance(error, RayTaskError) and isinstance(error.cause, BaseException):
        error = error.cause
    return error


def shortly(error: BaseException) -> str:
    """The line of an error that holds its cause; Ray's death notices are long."""
    cause = unwrapped(error)
    lines = [line.strip() for line in str(cause).strip().splitlines() if line.strip()]
    return f"{type(cause).__name__}: {lines[0]}"[:200] if lines else type(cause).__name__


def noted(error: BaseException) -> str:
    """The notes that an actor's error brings with it, such as its traceback there; each on lines of its own."""
    return "".join(f"\n{note}" for note in getattr(unwrapped(error), "__notes__", ()))
