"""A verifier in a real process, as a host: its notes, what it prints, and its end."""

from __future__ import annotations

import asyncio
import os
import signal
from pathlib import Path

import pytest
from waiting import alive

from reprise.core.types import Task
from reprise.launch.verify.host import ProcessHost
from reprise.rewards.base import Answer
from reprise.rewards.pool.host import HostDied
from reprise.rewards.settings import VerifierSettings


def test_it_verifies_side_by_side_until_it_dies_and_leaves_nothing(tmp_path: Path) -> None:
    args = {"trace": str(tmp_path / "trace"), "seconds": 0.1}
    chosen = VerifierSettings(use="answer_files:Traced", args=args, concurrency=2)
    answer = Answer(Task("t", "?", "d", "mine"), "é\ud800\n")

    async def test() -> None:
        host = ProcessHost("mine", chosen, 0)
        assert await host.start() == ["leaves a trace"]
        begun = asyncio.get_running_loop().time()
        done = await asyncio.gather(host.verify([answer]), host.verify([answer, answer]))
        assert [len(one.verdicts) for one in done] == [1, 2]
        assert done[1].counts == {"scored": 2, "reason/correct": 2}
        assert done[1].verdicts[0].detail["odd"] == "nan"
        assert asyncio.get_running_loop().time() - begun < 0.1 + done[1].seconds
        assert host._process is not None
        working = asyncio.create_task(host.verify([answer] * 50))
        await asyncio.sleep(0.05)
        os.kill(host._process.pid, signal.SIGKILL)
        with pytest.raises(HostDied, match=r"^its process ended with signal SIGKILL$"):
            await working
        assert await host.ended() == "its process ended with signal SIGKILL"
        host.kill()

        other = ProcessHost("mine", chosen, 0)
        await other.start()
        await other.close()
        assert await other.ended() == "its process ended with exit code 0"
        other.kill()
        assert other._process is not None
        assert not any(alive(pid) for pid in (host._process.pid, other._process.pid))

    asyncio.run(asyncio.wait_for(test(), 60))
