"""The lanes of `make test`, and the record of what the suite costs."""

from __future__ import annotations

import re
from pathlib import Path

from durations import outgrown
from lanes import SHARED

HERE = Path(__file__).parent
STARTS = re.compile(
    r"ray\.init\(|from whole_runs import .*\bRun\b|LiveEngine\(|vllm\.entrypoints\.openai\.api_server|RankPool\("
)
NOT_TESTS = {"engine_harness.py", "whole_runs.py", "rank_pool.py", "conftest.py", "test_lanes.py"}


def test_what_starts_engines_ray_or_ranks_is_in_their_lane() -> None:
    sources = {path.name: path.read_text() for path in HERE.rglob("*.py") if path.name not in NOT_TESTS}
    assert len(sources) > 100
    unmarked = [
        name
        for name, source in sources.items()
        if STARTS.search(source) and "mark.engines" not in source and not any(f"{each}:" in source for each in SHARED)
    ]
    assert unmarked == [], "mark their tests with `pytest.mark.engines` (tests/lanes.py)"


def test_a_folder_that_outgrows_its_share_is_named_whatever_the_speed() -> None:
    recorded = {"tests/learner": 300.0, "tests/launch": 100.0, "tests/rewards": 600.0}
    assert outgrown(recorded, {folder: 7 * seconds for folder, seconds in recorded.items()}) == []
    assert outgrown(recorded, recorded | {"tests/launch": 110.0}) == []
    [line] = outgrown(recorded, recorded | {"tests/launch": 200.0})
    assert line == "tests/launch takes 18.2% of the suite's processor time; recorded: 10.0%"
    [line] = outgrown(recorded, recorded | {"tests/new": 50.0})
    assert line.startswith("tests/new takes 4.8%")
