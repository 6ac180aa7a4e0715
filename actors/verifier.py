"""The verifier actor: one verifier of the recipe with its judge."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import replace

from actors.threaded import ThreadedActor
from rewards.base import Answer
from rewards.judging import Judge
from rewards.registry import build_verifier
from rewards.settings import RewardSettings
from rollout.engine import Episode


class VerifierActor(ThreadedActor):
    """Judges episodes whose tasks name `rewards.verifiers.<name>`."""

    def __init__(self, settings: RewardSettings, name: str) -> None:
        super().__init__()
        self._name, self._timeout_s = name, settings.verifiers[name].deadline_s
        self._turn = asyncio.Lock()
        self._judge = Judge({name: build_verifier(name, settings.verifiers[name])}, settings.retries)

    async def start(self) -> None:
        """Acquire what the verifier needs (worker processes, for one)."""
        await self._run(self._judge.start)

    async def judge(self, episodes: Sequence[Episode]) -> list[Episode]:
        """The episodes with a verdict on every trajectory, judged as one batch; TimeoutError if it takes too long."""
        deadline_s = self._timeout_s * len(episodes)
        async with self._turn:  # waiting for one's turn is not the verifier's time
            try:
                async with asyncio.timeout(deadline_s):
                    return await self._run(lambda: self._judge_all(episodes))
            except TimeoutError:
                raise TimeoutError(
                    f"verifier {self._name!r} did not judge {len(episodes)} groups within {deadline_s:g} s "
                    f"(rewards.verifiers.{self._name}.deadline_s for each)"
                ) from None

    def _judge_all(self, episodes: Sequence[Episode]) -> list[Episode]:
        answers = [
            Answer(episode.group.task, text, trajectory.truncated)
            for episode in episodes
            for trajectory, text in zip(episode.group.trajectories, episode.texts, strict=True)
        ]
        judgement = self._judge.judge(answers)
        verdicts = iter(judgement.verdicts)
        judged = []
        for episode in episodes:
            trajectories = tuple(t.judged(next(verdicts)) for t in episode.group.trajectories)
            group = replace(episode.group, trajectories=trajectories)
            judged.append(replace(episode, group=group, verify_seconds=judgement.seconds))
        return judged

    async def close(self) -> None:
        await self._run(self._judge.close)
