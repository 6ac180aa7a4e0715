"""Jobs on somebody else's machines: a client for a service that speaks SandboxFusion's `POST /run_code`.

What keeps a program in is the service's business. About results the promise is the same as elsewhere: expected answers
are not sent, and the frame that comes back is trusted no more than one from next door.
"""

from __future__ import annotations

import base64
import os
from pathlib import Path

import httpx

from reprise.core.printable import printable
from reprise.sandbox.base import Ending, Job, JobResult
from reprise.sandbox.frames import Report, conclude, payload_of
from reprise.sandbox.slot import SlotFailure

_INSIDE = Path(__file__).parent / "inside"
_RESULT = "reprise_result.json"
_PAYLOAD = "reprise_payload.json"
# Runs in the service's Python, beside the files below.
_BOOTSTRAP = f"""
import os, sys
sys.path.insert(0, os.getcwd())
from inside import harness
with open("{_PAYLOAD}", "rb") as file:
    payload = file.read()
os.unlink("{_PAYLOAD}")
harness.run(payload, os.open("{_RESULT}", os.O_WRONLY | os.O_CREAT | os.O_TRUNC))
"""
_GRACE_S = 10.0  # beyond a job's own deadline: the way there and back, and waiting for a place
_CONNECT_S = 5.0
_WORDS = 500  # characters that the service has for what it says


class RemoteSlot:
    """One job at a time on the service. SlotFailure if the service cannot be reached or fails by itself."""

    def __init__(self, url: str) -> None:
        self._url = url.rstrip("/") + "/run_code"
        self._client: httpx.Client | None = None

    def start(self) -> None:
        # Proxies as the machine sets them, but no proxy stands before the machine itself.
        local = httpx.URL(self._url).host in ("localhost", "127.0.0.1", "::1")
        self._client = self._client or httpx.Client(trust_env=not local)

    def wait_ready(self) -> None:
        """A harmless program must come back, so that a wrong address ends the run before it begins."""
        result = self.run(Job(source="print('ready')"))
        if result.ending is not Ending.OK or result.stdout.strip() != b"ready":
            raise SlotFailure(f"{self._url}: a harmless program ended with {result.ending}: {result.explanation}")

    def run(self, job: Job) -> JobResult:
        if job.argv:
            raise SlotFailure("the remote backend runs Python programs only")
        nonce = os.urandom(16).hex()
        answer = self._post(job, _request(job, nonce))
        run = answer.get("run_result")
        if not isinstance(run, dict) or answer.get("status") == "SandboxError":
            raise SlotFailure(printable(f"{self._url}: {answer.get('status')}: {answer.get('message')}", _WORDS))
        seconds = float(run.get("execution_time") or 0.0)
        late = run.get("status") == "TimeLimitExceeded"
        status = run.get("return_code")
        report = Report(
            status=status if isinstance(status, int) else 1,
            cpu_s=seconds,  # the service reports no other time
            wall_s=seconds,
            killed=Ending.TIMEOUT if late else None,
        )
        limit = job.limits.output_bytes
        stdout, stderr = (str(run.get(name) or "").encode()[:limit] for name in ("stdout", "stderr"))
        return conclude(job, nonce, report, stdout, stderr, _file(answer, _RESULT)[:limit])

    def release(self) -> None:
        if self._client is not None:
            self._client.close()
            self._client = None

    def _post(self, job: Job, request: dict[str, object]) -> dict[str, object]:
        self.start()
        assert self._client is not None
        deadline = httpx.Timeout(job.limits.wall_s + _GRACE_S, connect=_CONNECT_S)
        try:
            response = self._client.post(self._url, json=request, timeout=deadline)
            response.raise_for_status()
            answer = response.json()
        except (httpx.HTTPError, ValueError) as error:
            raise SlotFailure(printable(f"{self._url}: {type(error).__name__}: {error}", _WORDS)) from error
        if not isinstance(answer, dict):
            raise SlotFailure(f"{self._url}: did not answer with a JSON object")
        return answer


def _request(job: Job, nonce: str) -> dict[str, object]:
    files = {f"inside/{name}.py": (_INSIDE / f"{name}.py").read_bytes() for name in ("__init__", "harness", "values")}
    files[_PAYLOAD] = payload_of(job, nonce)
    return {
        "code": _BOOTSTRAP,
        "language": "python",
        "stdin": job.stdin.decode("utf-8", errors="surrogateescape"),
        "run_timeout": job.limits.wall_s,
        "compile_timeout": job.limits.wall_s,
        "memory_limit_MB": job.limits.memory_mb,
        "files": {name: base64.b64encode(content).decode() for name, content in files.items()},
        "fetch_files": [_RESULT],
    }


def _file(answer: dict[str, object], name: str) -> bytes:
    files = answer.get("files")
    content = files.get(name) if isinstance(files, dict) else None
    try:
        return base64.b64decode(content, validate=True) if isinstance(content, str) else b""
    except ValueError:
        return b"not base64"
