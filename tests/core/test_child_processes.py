"""Processes that can be killed: what passes over their channel, and how they end."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Iterator

import pytest
from waiting import alive

from reprise.core.processes import Child, ending, python_command

ECHO = """
import os, signal, socket, sys
channel = socket.socket(fileno=int(sys.argv[1]))
while said := channel.recv(1000):
    if said == b"die":
        os.kill(os.getpid(), signal.SIGSEGV)
    if said == b"stay":
        signal.pause()
    channel.send(said)
sys.exit(3)
"""


@pytest.fixture
def child() -> Iterator[Child]:
    child = Child(lambda fd: [sys.executable, "-I", "-S", "-c", ECHO, str(fd)])
    yield child
    child.end(0.0)
    assert not alive(child.pid)


def test_messages_pass_one_by_one_and_it_ends_when_it_is_asked_to(child: Child) -> None:
    assert child.receive(0.01) is None
    child.send(b'{"n": 1}')
    child.send(b'{"n": 2}')
    assert [child.receive(10), child.receive(10)] == [{"n": 1}, {"n": 2}]
    assert child.exit_code(0.01) is None
    assert child.end(10) == 3


@pytest.mark.parametrize("nonsense", [b"{", b"[1]", b'{"n": 1}\n{"n": 2}'])
def test_what_is_no_message_is_an_end(child: Child, nonsense: bytes) -> None:
    child.send(nonsense)
    with pytest.raises(EOFError):
        child.receive(10)


def test_a_death_ends_the_channel_and_says_how(child: Child) -> None:
    child.send(b"die")
    with pytest.raises(EOFError):
        child.receive(10)
    assert child.exit_code(10) == -signal.SIGSEGV
    with pytest.raises(BrokenPipeError):
        child.send(b"{}")


def test_one_that_does_not_end_when_asked_is_killed(child: Child) -> None:
    child.send(b"stay")
    assert child.end(0.1) is None
    assert not alive(child.pid)


def test_what_cannot_be_started_leaves_no_descriptor() -> None:
    before = os.listdir("/proc/self/fd")
    with pytest.raises(FileNotFoundError):
        Child(lambda fd: ["/there/is/no/such/program"])
    assert os.listdir("/proc/self/fd") == before


def test_an_interpreter_finds_the_modules_of_its_parent() -> None:
    child = Child(lambda fd: python_command("child_process:main", {"fd": fd, "said": "é\ud800"}, "-I"))
    assert child.receive(30) == {"said": "é\ud800", "argument": True}
    assert child.end(10) == 0


@pytest.mark.parametrize(
    ("code", "words"), [(0, "exit code 0"), (7, "exit code 7"), (-9, "signal SIGKILL"), (-99, "signal 99")]
)
def test_an_exit_code_in_words(code: int, words: str) -> None:
    assert ending(code) == words
