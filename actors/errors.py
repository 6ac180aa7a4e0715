"""What an actor's error looks like to the rest of the run."""

from __future__ import annotations

from ray.exceptions import RayActorError, RayTaskError

from reprise.actors.root_cause import is_consequence, root_cause
from reprise.core.errors import RunError

_NO_TRACE = "its process was killed without a trace in its log (SIGKILL)"


class ActorFailure(RunError):
    """An actor of the run has died or failed; the message says which and why.

    actor   its name, such as `engine 0`
    """

    def __init__(self, actor: str, error: BaseException) -> None:
        self.actor, self._cause = actor, unwrapped(error)
        self._died = isinstance(self._cause, RayActorError)
        # Ray's death notices are long; their first lines hold the cause.
        lines = [line.strip() for line in str(self._cause).strip().splitlines()[:6]]
        self._said = f"{type(self._cause).__name__}: {' '.join(lines)}"
        super().__init__(f"{actor} has failed: {self._said}")

    def explain(self, log: str, place: str, killed: int | None) -> None:
        """Put what the actor's log says into the message, if the error itself tells no cause.

        log     what the actor's last process wrote, or the end of it
        place   where the log is, for users
        killed  processes that the kernel killed for memory on the actor's machine since the run began, if known
        """
        said = self._said
        if self._died or is_consequence(said):
            cause = root_cause(log)
            if cause is not None:
                said = cause
            elif self._died:
                said = f"{_NO_TRACE}; {_of_memory(killed)}"
            else:
                said = f"{said.partition(';')[0]} without a trace in its log; {_of_memory(killed)}"
        self.args = (f"{self.actor} has failed: {said}\nits log: {place}",)


def _of_memory(killed: int | None) -> str:
    if killed:
        return f"out of memory: the kernel killed {killed} process{'es' if killed > 1 else ''} there meanwhile"
    if killed == 0:
        return "the kernel killed nothing for memory there meanwhile"
    return "`dmesg` there tells whether its machine ran out of memory"


def unwrapped(error: BaseException) -> BaseException:
    """What an actor raised, without Ray's wrapping."""
    while isinstance(error, RayTaskError) and isinstance(error.cause, BaseException):
        error = error.cause
    return error
