"""An actor's log."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from reprise.actors.output import last_process, log_file

ACTOR = """
import logging, os, sys
from pathlib import Path
from reprise.actors.output import keeping_output

class Actor:
    def __init__(self, word):
        print("says", word)
        print("complains", file=sys.stderr)
        os.system("echo a process of its own; echo its complaint >&2")
        logging.getLogger("library").warning("a library warns")

actor = keeping_output(Actor, Path(sys.argv[1]))
assert actor.__name__ == "Actor"
actor("hello")
os.kill(os.getpid(), 9)
"""


def act(log: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", ACTOR, str(log)]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)


def test_all_that_an_actor_and_its_processes_write_is_in_its_log_though_it_is_killed(tmp_path: Path) -> None:
    log = tmp_path / "logs" / "engine-0.log"
    assert act(log).stdout == ""
    assert act(log).returncode == -9
    text = log.read_text()
    said = ("says hello", "complains", "a process of its own", "its complaint", "a library warns")
    assert all(text.count(line) == 2 for line in said), text
    assert all(last_process(text).count(line) == 1 for line in said)


def test_a_log_that_cannot_be_written_leaves_the_output_where_it_was(tmp_path: Path) -> None:
    (tmp_path / "logs").write_text("a file")
    done = act(tmp_path / "logs" / "engine-0.log")
    assert "says hello" in done.stdout
    assert "engine-0.log cannot be written" in done.stderr


def test_logs_are_named_after_their_actors() -> None:
    assert log_file(Path("logs"), "verifier math/hard 1") == Path("logs/verifier-math-hard-1.log")
