"""What the suite costs, folder by folder: recorded in durations.json, and compared by shares after every whole run.

A folder whose share of the processor time has outgrown what is recorded is named at the end of the run. That is a
note, no failure: a machine's speed drops out of shares, but not everything else that runs on it.
"""

from __future__ import annotations

import json
import os
from collections import defaultdict
from collections.abc import Generator, Mapping
from contextlib import suppress
from pathlib import Path, PurePosixPath

import psutil
import pytest
from lanes import group_of, starts_engines

RECORDED = Path(__file__).with_name("durations.json")
GROWTH, MARGIN = 1.25, 0.01  # a share may be a quarter larger than recorded, and one point of a hundred
NEARLY_ALL = 0.95  # of the recorded tests: fewer are no whole run, and their shares say nothing

Seconds = dict[str, float]


def outgrown(recorded: Mapping[str, float], now: Mapping[str, float]) -> list[str]:
    """A line for each folder that takes a larger share of `now`, seconds by folder, than `recorded` lets it."""
    lines = []
    for folder, seconds in sorted(now.items()):
        share, was = seconds / sum(now.values()), recorded.get(folder, 0.0) / sum(recorded.values())
        if share > GROWTH * was + MARGIN:
            lines.append(f"{folder} takes {share:.1%} of the suite's processor time; recorded: {was:.1%}")
    return lines


class Durations:
    """Adds up what the reports of all lanes say, and says at the end what has outgrown its share."""

    def __init__(self, record: bool) -> None:
        self.record = record
        self.tests = 0
        self.folders: dict[str, Seconds] = {"cpu": defaultdict(float), "wall": defaultdict(float)}
        self.lanes: Seconds = defaultdict(float)

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        folder = str(PurePosixPath(report.nodeid.split("::")[0]).parent)
        self.folders["wall"][folder] += report.duration
        noted: dict[str, str] = {key: str(value) for key, value in report.user_properties}
        if report.when == "teardown" and "cpu" in noted:
            self.tests += 1
            self.folders["cpu"][folder] += float(noted["cpu"])
        if "lane" in noted:
            self.lanes[noted["lane"]] += report.duration

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        if self.record:
            rounded = {
                name: {key: round(value, 1) for key, value in sorted(seconds.items())}
                for name, seconds in {**self.folders, "lanes": self.lanes}.items()
            }
            RECORDED.write_text(json.dumps({"tests": self.tests, **rounded}, indent=1) + "\n")
        recorded = json.loads(RECORDED.read_text())
        if self.tests >= NEARLY_ALL * recorded["tests"] and (lines := outgrown(recorded["cpu"], self.folders["cpu"])):
            terminalreporter.section("folders that have outgrown their share")
            for line in lines:
                terminalreporter.line(line)


def processor_seconds(with_children: bool) -> float:
    """Of this process and what it has waited for; and, if asked for, of the processes that it has now."""
    times = os.times()
    total = times.user + times.system + times.children_user + times.children_system
    for child in psutil.Process().children(recursive=True) if with_children else ():
        with suppress(psutil.NoSuchProcess):
            total += sum(child.cpu_times()[:4])
    return total


_begun = pytest.StashKey[float]()


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--record-durations", action="store_true", help=f"write tests/{RECORDED.name} anew")


def pytest_configure(config: pytest.Config) -> None:
    if not hasattr(config, "workerinput"):  # one place adds up: not the processes of the lanes
        config.pluginmanager.register(Durations(config.getoption("record_durations")))


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item: pytest.Item) -> Generator[None, object, object]:
    item.stash[_begun] = processor_seconds(starts_engines(item))
    return (yield)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    report = yield
    engines = starts_engines(item)
    report.user_properties.append(("lane", group_of(item) if engines else "rest"))
    if report.when == "teardown":
        # Children that ended without being waited for are lost, which may even make it fall.
        report.user_properties.append(("cpu", max(0.0, processor_seconds(engines) - item.stash[_begun])))
    return report
