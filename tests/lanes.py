"""How `make test` shares the suite between two processes of pytest-xdist, and what only `make test-full` runs.

One lane has every test that starts engines or Ray (marker `engines`), in one process, so that they share one engine and
never compete for the machine's two cores. The other lane has the rest, file by file, and at the end the learner's tests
of that marker, which share a pool of ranks; whichever lane is done first takes what is left.
"""

from __future__ import annotations

import os
from contextlib import suppress
from typing import Any

import pytest

SHARED = {"live_engine", "pools", "finished"}  # fixtures that start an engine, ranks or a whole run
LANE, RANKS = "engines", "tests/learner"
NICE = 5  # of that lane


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--full", action="store_true", help="run what is marked `full` too, as `make test-full` does")


def pytest_configure(config: pytest.Config) -> None:
    if hasattr(config, "workerinput"):
        os.environ.pop("COLUMNS", None)  # xdist sets it, and commands would think that a person had


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    for item in items:
        if not SHARED.isdisjoint(getattr(item, "fixturenames", ())):
            item.add_marker(LANE)
    if not config.getoption("full"):
        left_out = [item for item in items if item.get_closest_marker("full")]
        config.hook.pytest_deselected(items=left_out)
        items[:] = [item for item in items if not item.get_closest_marker("full")]
    if hasattr(config, "workerinput"):  # a process of pytest-xdist; without it tests run one by one, as ever
        for item in items:
            item.add_marker(pytest.mark.xdist_group(group_of(item)))
        items.sort(key=lambda item: (group_of(item) == RANKS) - (group_of(item) == LANE))  # the longer lane at once


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item: pytest.Item) -> None:
    # Programs in the sandbox have tenths of seconds, engines have minutes: the other lane goes first.
    if hasattr(item.config, "workerinput"):
        with suppress(PermissionError):  # others than root may only raise their niceness
            os.setpriority(os.PRIO_PROCESS, 0, NICE if starts_engines(item) else 0)


def starts_engines(item: pytest.Item) -> bool:
    return item.get_closest_marker(LANE) is not None


def group_of(item: pytest.Item) -> str:
    """What runs in one process, in order: a file, or the tests that share engines or ranks."""
    file = item.nodeid.split("::")[0]
    if not starts_engines(item):
        return file
    return RANKS if file.startswith(RANKS) else LANE


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    if hasattr(report, "node"):  # it came from a lane: people want the name that pytest takes
        report.nodeid = report.nodeid.rsplit("@", 1)[0]


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_node_collection_finished(ids: list[str]) -> None:
    # A pytest-xdist that does not know this pytest's node ids puts no group's name there, and groups nothing, silently.
    if not all("@" in nodeid for nodeid in ids):
        raise pytest.UsageError("pytest-xdist does not group tests by lanes under this pytest: install the lock's pins")


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    from xdist.scheduler import LoadGroupScheduling

    class Lanes(LoadGroupScheduling):  # type: ignore[misc]
        def remove_node(self, node: Any) -> str | None:
            """The test that killed its process has failed. xdist would run it again, until every process is dead."""
            units = self.assigned_work.pop(node)
            crashed = next((test for unit in units.values() for test, done in unit.items() if not done), None)
            for scope, unit in units.items():
                unit |= {crashed: True} if crashed in unit else {}
                if not all(unit.values()):
                    self.workqueue[scope] = unit
            for other in self.assigned_work:
                self._reschedule(other)
            return crashed

    return Lanes(config, log)
