"""The verifier actor: one verifier of the recipe with its judge. `actors/verifier_pool.py` holds it and its fellows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from reprise.actors.threaded import ThreadedActor
from reprise.core.errors import UserError
from reprise.core.types import Status, Verdict
from reprise.rewards.base import Answer
from reprise.rewards.infra_errors import InfraError, traceback_of
from reprise.rewards.registry import build_verifier
from reprise.rewards.scoring import Judge
from reprise.rewards.settings import RewardSettings
from reprise.rollout.engine import Episode


@dataclass(frozen=True, slots=True)
class Told:
    """What a caller learns of a batch without fetching it: how many answers were scored in this call, and what kept
    others from being judged (`Judgement.failures`)."""

    scored: int
    failures: tuple[InfraError, ...] = ()


class VerifierActor(ThreadedActor):
    """Judges episodes whose tasks name `rewards.verifiers.<name>`, as many batches at a time as its `concurrency`.

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
            self._judge = Judge({self._name: verifier}, settings.retries, unparseable=settings.unparseable)
            self._judge.start()
            return list(getattr(verifier, "notes", list)())
        except UserError:
            raise
        except Exception as error:
            error.add_note(traceback_of(error))  # on its way to the pool an exception loses all but its notes
            raise

    async def ping(self) -> None:
        """Answers at once while the event loop runs."""

    async def judge(
        self, episodes: Sequence[Episode], settled: Mapping[int, Verdict], queue_seconds: float, seconds: float
    ) -> tuple[list[Episode], Told]:
        """The episodes with a verdict on every trajectory, and apart from them what a caller who fetches nothing can
        wait for.

        settled        verdicts that are known already, by the trajectory's number, counted through all episodes
        queue_seconds  how long the batch waited
        seconds        how long judging it has taken before
        """
        return await self._run(lambda: self._judge_all(episodes, settled, queue_seconds, seconds))

    def _judge_all(
        self, episodes: Sequence[Episode], settled: Mapping[int, Verdict], queue_seconds: float, seconds: float
    ) -> tuple[list[Episode], Told]:
        answers = {i: answer for i, answer in enumerate(_answers(episodes)) if i not in settled}
        judgement = self._judge.judge(list(answers.values()))
        verdicts = {**settled, **dict(zip(answers, judgement.verdicts, strict=True))}
        in_order = iter([verdicts[i] for i in range(len(verdicts))])
        judged = []
        for episode in episodes:
            trajectories = tuple(t.judged(next(in_order)) for t in episode.group.trajectories)
            group = replace(episode.group, trajectories=trajectories)
            taken = seconds + judgement.seconds
            judged.append(replace(episode, group=group, verify_seconds=taken, queue_seconds=queue_seconds))
        scored = sum(verdict.status is Status.SCORED for verdict in judgement.verdicts)
        return judged, Told(scored, judgement.failures)

    async def judge_one(self, episodes: Sequence[Episode], number: int) -> tuple[Verdict, tuple[InfraError, ...]]:
        """The verdict on one trajectory alone, counted through all episodes; and the failures there were."""
        answer = _answers(episodes)[number]
        judgement = await self._run(lambda: self._judge.judge([answer]))
        return judgement.verdicts[0], judgement.failures

    async def close(self) -> None:
        """Release what the verifier holds."""
        if hasattr(self, "_judge"):
            await self._run(self._judge.close)


def _answers(episodes: Sequence[Episode]) -> list[Answer]:
    return [
        Answer(episode.group.task, text, trajectory.truncated)
        for episode in episodes
        for trajectory, text in zip(episode.group.trajectories, episode.texts, strict=True)
    ]
