"""The remote backend against a service that speaks SandboxFusion's protocol, well and badly."""

from __future__ import annotations

import base64
import json
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from reprise.core.errors import UserError
from reprise.rewards.registry import construct
from reprise.sandbox import Call, Ending, Job, JobLimits, SandboxSettings
from reprise.sandbox.pool import SandboxPool
from reprise.sandbox.slot import SlotFailure

pytestmark = pytest.mark.slow


def run_here(request: dict[str, Any]) -> dict[str, Any]:
    """What the service does, without its isolation: the programs of these tests are ours."""
    with tempfile.TemporaryDirectory() as folder:
        for name, content in request["files"].items():
            path = Path(folder, name)
            path.parent.mkdir(exist_ok=True)
            path.write_bytes(base64.b64decode(content))
        command = [sys.executable, "-c", request["code"]]
        stdin, limit = request["stdin"].encode(), request["run_timeout"]
        run: dict[str, Any] = {"execution_time": 0.1}
        try:
            done = subprocess.run(command, input=stdin, capture_output=True, cwd=folder, timeout=limit)
            run |= {"status": "Finished", "return_code": done.returncode}
            run |= {"stdout": done.stdout.decode(), "stderr": done.stderr.decode()}
        except subprocess.TimeoutExpired:
            run |= {"status": "TimeLimitExceeded", "return_code": None, "execution_time": request["run_timeout"]}
        fetched = [name for name in request["fetch_files"] if Path(folder, name).exists()]
        files = {name: base64.b64encode(Path(folder, name).read_bytes()).decode() for name in fetched}
    status = "Success" if run.get("return_code") == 0 else "Failed"
    return {"status": status, "message": "", "run_result": run, "files": files}


class Service:
    """`answer` may be replaced by a test; `seen` holds the requests."""

    def __init__(self) -> None:
        self.answer: Callable[[dict[str, Any]], dict[str, Any]] = run_here
        self.code = 200
        self.seen: list[dict[str, Any]] = []
        service = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                request = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                service.seen.append(request)
                body = json.dumps(service.answer(request)).encode()
                self.send_response(service.code if self.path == "/run_code" else 404)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, format: str, *args: Any) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()


@pytest.fixture
def service() -> Iterator[Service]:
    service = Service()
    yield service
    service.close()


@pytest.fixture
def pool(service: Service) -> Iterator[SandboxPool]:
    pool = SandboxPool(SandboxSettings(backend="remote", remote_url=service.url, slots=1))
    pool.start()
    yield pool
    pool.close()


def test_programs_and_calls_run_on_the_service(pool: SandboxPool) -> None:
    printed = pool.run_one(Job("print(input()[::-1])", b"abc"))
    called = pool.run_one(Job("def f(x): return (x, 1.5)", call=Call("f", [{"a": 1}])))
    assert (printed.ending, printed.stdout) == (Ending.OK, b"cba\n")
    assert (called.ending, called.value) == (Ending.OK, ({"a": 1}, 1.5))


def test_bad_endings_are_distinguished(pool: SandboxPool) -> None:
    sleeper = Job("import time; time.sleep(9)", limits=JobLimits(cpu_s=0.5, wall_s=0.5))
    forger = Job("import os\nos._exit(0)", call=Call("f"))
    endings = [pool.run_one(job).ending for job in (sleeper, Job("raise ValueError"), forger)]
    assert endings == [Ending.TIMEOUT, Ending.CRASH, Ending.CRASH]


@pytest.mark.parametrize(
    "answer",
    [{"status": "SandboxError", "message": "no place"}, {"status": "Failed"}, {"run_result": 5}],
    ids=["its own error", "no result", "nonsense"],
)
def test_a_service_that_fails_is_no_fault_of_the_program(
    pool: SandboxPool, service: Service, answer: dict[str, Any]
) -> None:
    service.answer = lambda request: answer
    assert pool.run_one(Job("print(1)")).ending is Ending.INFRA


def test_a_service_that_is_gone_is_no_fault_of_the_program(pool: SandboxPool, service: Service) -> None:
    service.close()
    assert pool.run_one(Job("print(1)")).ending is Ending.INFRA
    service.close = lambda: None  # type: ignore[method-assign]


def test_an_address_that_does_not_answer_is_refused_at_the_start() -> None:
    pool = SandboxPool(SandboxSettings(backend="remote", remote_url="http://127.0.0.1:1", slots=1))
    with pytest.raises(SlotFailure, match=r"http://127\.0\.0\.1:1/run_code: ConnectError"):
        pool.start()


@pytest.mark.parametrize(
    "url",
    [
        "http://me:hunter2@sandbox:8080",
        "http://hunter2@sandbox",
        "http://sandbox/?key=hunter2",
        "http://sandbox/#hunter2",
    ],
)
def test_an_address_with_a_secret_is_refused_and_not_repeated(url: str) -> None:
    """Seen before: it was kept in recipe.yaml, and shown in messages and verdicts."""
    with pytest.raises(ValueError, match="no user, password or query in it") as refused:
        SandboxSettings(backend="remote", remote_url=url)
    assert "hunter2" not in str(refused.value)


@pytest.mark.parametrize("url", ["ftp://sandbox", "http://", "sandbox:8080", "http://[::1"])
def test_what_is_no_address_is_refused(url: str) -> None:
    with pytest.raises(ValueError, match="remote_url"):
        SandboxSettings(backend="remote", remote_url=url)


def test_no_proxy_stands_before_a_service_on_this_machine(service: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:1")
    pool = SandboxPool(SandboxSettings(backend="remote", remote_url=service.url, slots=1))
    pool.start()
    assert pool.run_one(Job("print(1)")).stdout == b"1\n"
    pool.close()


def test_what_a_service_says_is_cut_and_obeyed_by_no_terminal(service: Service) -> None:
    service.answer = lambda request: {"status": "SandboxError", "message": "\x1b[2J" + "no place " * 100_000}
    pool = SandboxPool(SandboxSettings(backend="remote", remote_url=service.url, slots=1))
    with pytest.raises(SlotFailure) as failure:
        pool.start()
    assert len(str(failure.value)) <= 500
    assert "\x1b" not in str(failure.value)


def test_a_recipe_with_a_secret_address_is_refused_without_it() -> None:
    sandbox = {"backend": "remote", "remote_url": "http://me:hunter2@sandbox:8080"}
    with pytest.raises(UserError, match=r"rewards\.verifiers\.code\.args.*remote_url must be an address") as refused:
        construct("code", {"sandbox": sandbox}, "rewards.verifiers.code")
    assert "hunter2" not in str(refused.value)
