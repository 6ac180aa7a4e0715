"""The verifier actor: one verifier of the recipe. `actors/verifier_pool.py` holds all actors of a verifier."""

from __future__ import annotations

from collections.abc import Sequence

from reprise.actors.threaded import ThreadedActor
from reprise.core.errors import UserError
from reprise.rewards.base import Answer
from reprise.rewards.infra_errors import traceback_of
from reprise.rewards.registry import build_verifier
from reprise.rewards.scoring import Scorer, Verification
from reprise.rewards.settings import RewardSettings


class VerifierActor(ThreadedActor):
    """Verifies answers whose tasks name `rewards.verifiers.<name>`, as many batches at a time as its `concurrency`.

    Deadlines are the pool's: a thread that hangs cannot be ended, but an actor can.
    """

    def __init__(self, settings: RewardSettings, name: str) -> None:
        super().__init__(settings.verifiers[name].concurrency)
        self._settings, self._name = settings, name

    async def start(self) -> list[str]:
        """Build the verifier and acquire what it needs (worker processes, for one), which may take long.

        Returns what people must know of how it judges here (`Verifier.notes`).
        """
        return await self._run(self._start)

    def _start(self) -> list[str]:
        settings = self._settings
        try:
            verifier = build_verifier(self._name, settings.verifiers[self._name])
            self._scorer = Scorer({self._name: verifier}, settings.retries, unparseable=settings.unparseable)
            self._scorer.start()
            return list(getattr(verifier, "notes", list)())
        except UserError:
            raise
        except Exception as error:
            error.add_note(traceback_of(error))  # on its way to the pool an exception loses all but its notes
            raise

    async def ping(self) -> None:
        """Answers at once while the event loop runs."""

    async def verify(self, answers: Sequence[Answer]) -> Verification:
        """One verdict for each answer, in their order, and what kept others from being verified."""
        return await self._run(lambda: self._scorer.verify(answers))

    async def close(self) -> None:
        """Release what the verifier holds."""
        if hasattr(self, "_scorer"):
            await self._run(self._scorer.close)
