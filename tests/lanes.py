"""How `make test` shares the suite among three processes of pytest-xdist, and what only `make test-full` runs.

Two lanes have the tests that start engines, Ray or ranks (marker `engines`), which mostly wait: one has the whole RL
runs, which build on one another, the other has the rest, which shares one engine. The third lane has all other tests,
file by file. The learner's tests of that marker share a pool of ranks and come last, in whichever process is free.
"""

from __future__ import annotations

import os
from contextlib import suppress
from typing import Any

import pytest

SHARED = {"live_engine", "pools", "finished"}  # fixtures that start an engine, ranks or a whole run
RUNS, ENGINES, RANKS = "runs", "engines", "ranks"  # lanes; their tests are marked ENGINES
NICE = 5  # of these lanes


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--full", action="store_true", help="run what is marked `full` too, as `make test-full` does")


def pytest_configure(config: pytest.Config) -> None:
    if hasattr(config, "workerinput"):
        os.environ.pop("COLUMNS", None)  # xdist sets it, and commands would think that a person had


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    for item in items:
        if not SHARED.isdisjoint(getattr(item, "fixturenames", ())):
            item.add_marker(ENGINES)
    if not config.getoption("full"):
        left_out = [item for item in items if item.get_closest_marker("full")]
        config.hook.pytest_deselected(items=left_out)
        items[:] = [item for item in items if not item.get_closest_marker("full")]
    if hasattr(config, "workerinput"):  # a process of pytest-xdist; without it tests run one by one, as ever
        for item in items:
            item.add_marker(pytest.mark.xdist_group(group_of(item)))
        order = {RUNS: 0, ENGINES: 1, RANKS: 3}
        items.sort(key=lambda item: order.get(group_of(item), 2))


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item: pytest.Item) -> None:
    # Programs in the sandbox have tenths of seconds, engines have minutes: the third lane goes first.
    if hasattr(item.config, "workerinput"):
        with suppress(PermissionError):  # a person other than root may only become nicer
            os.setpriority(os.PRIO_PROCESS, 0, NICE if starts_engines(item) else 0)


def starts_engines(item: pytest.Item) -> bool:
    return item.get_closest_marker(ENGINES) is not None


def group_of(item: pytest.Item) -> str:
    """What runs in one process, in order: a file, or a lane's tests that start engines or ranks."""
    file = item.nodeid.split("::")[0]
    if not starts_engines(item):
        return file
    if file == "tests/launch/test_run.py" or "finished" in getattr(item, "fixturenames", ()):
        return RUNS
    return RANKS if file.startswith("tests/learner/") else ENGINES


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

    class Lanes(LoadGroupScheduling):
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
