"""The benchmark's table: what counts as met, and a real run of its cheapest part."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import replace
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

BENCH = Path(__file__).resolve().parents[2] / "bench"


@pytest.fixture(autouse=True)
def _bench_is_importable(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its modules import each other as `python bench/loop.py` finds them."""
    monkeypatch.syspath_prepend(str(BENCH))


@pytest.mark.parametrize(
    ("bounds", "result", "met"),
    [
        ({"at_most": 1.25}, 1.25, True),
        ({"at_most": 1.25}, 1.26, False),
        ({"at_least": 0.3}, 0.3, True),
        ({"at_least": 0.3}, 0.29, False),
        ({"at_most": 1.25}, float("nan"), False),
        ({}, 7.0, None),
    ],
)
def test_an_aim_is_met_within_its_bounds_and_never_by_nan(bounds: dict[str, Any], result: float, met: bool) -> None:
    from rows import Aim

    assert Aim(**bounds).met(result) is met


def test_the_table_names_the_machine_and_shows_results_with_unit_aim_and_verdict() -> None:
    from rows import Aim, Row, table

    rows = [
        Row("publishing", "1 GB/s", "a copy", 0.05, Aim(at_least=0.3), {}),
        Row("orchestration", "900 a second", "–", 1.1, Aim(at_most=2, unit="ms"), {}),
        Row("against synchronous", "3 s", "4 s", 0.75, Aim(), {}),
    ]
    console = Console(width=160, record=True, file=StringIO())
    console.print(table(rows, "4 cores"))
    lines = {
        row.what: next(line for line in console.export_text(clear=False).splitlines() if row.what in line)
        for row in rows
    }
    assert "4 cores" in console.export_text()
    assert all(part in lines["publishing"] for part in ("0.05", "≥ 0.3", "missed"))
    assert all(part in lines["orchestration"] for part in ("1.1 ms", "≤ 2 ms", "met"))
    assert "missed" not in lines["against synchronous"]
    assert "met" not in lines["against synchronous"]


def test_a_measured_buffer_is_full_and_stays_full() -> None:
    from buffer_operations import Bench

    bench = Bench(held=100)
    held = [bench.round().metrics["buffer/reusable"] for _ in range(3)]
    rates = bench.rates()
    assert held == [100, 100, 100]
    assert rates.rounds == 3
    assert min(rates.add, rates.take) > 0


@pytest.mark.parametrize("preset", ["tiny", "small", "12p7b"])
def test_motif_2_is_compared_with_attention_of_as_many_parameters(preset: str) -> None:
    from motif2 import ON_CPU, Case, sides_of

    plan = replace(ON_CPU, preset=preset, changes={"hidden_size": 64})
    ours, theirs = sides_of(plan, Case("attention", (8,)))
    of_difference = 6 * plan.config.head_dim  # four vectors of λ and the norm of the difference, twice as wide
    assert ours.parameters - theirs.parameters == of_difference


def test_motif_2_s_table_has_every_part_twice_and_the_cache(tmp_path: Path) -> None:
    command = [sys.executable, str(BENCH / "motif2.py"), "--device", "cpu", "--quick", "--json", "out.json"]
    printed = subprocess.run(command, cwd=tmp_path, check=True, capture_output=True, text=True, timeout=120).stdout
    assert [path.name for path in tmp_path.iterdir()] == ["out.json"]
    rows = json.loads((tmp_path / "out.json").read_text())["rows"]
    results = {row["what"]: row["result"] for row in rows}
    for part in ("attention, 96 tokens in 2 documents", "attention, 96 tokens", "mlp", "activation", "layer"):
        row = part if "tokens" in part else f"{part}, 96 tokens"
        assert all(results[f"{row}: {passes}"] > 0 for passes in ("forward", "forward and backward"))
    assert [results[f"key-value cache a token, {preset}"] for preset in ("tiny", "12p7b")] == [1, 1]
    assert "327,680 bytes" in printed


def test_the_command_prints_its_table_and_writes_only_what_it_is_told_to(tmp_path: Path) -> None:
    command = [sys.executable, str(BENCH / "loop.py"), "--only", "buffer", "--quick", "--json", "out.json"]
    printed = subprocess.run(command, cwd=tmp_path, check=True, capture_output=True, text=True, timeout=120).stdout
    report = json.loads((tmp_path / "out.json").read_text())
    assert [path.name for path in tmp_path.iterdir()] == ["out.json"]
    assert report["machine"].split(" GiB")[0] in printed.replace("\n", " ")
    add, take = report["rows"]
    assert "add" in add["what"]
    assert "take" in take["what"]
    assert all(row["result"] > 0 for row in (add, take))
    assert all(f"buffer: {operation} (a" in printed for operation in ("add", "take"))
