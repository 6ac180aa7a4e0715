"""An OpenAI-compatible endpoint in this process that answers as a test wants."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

Reply = tuple[int, dict[str, str], bytes]


def grade(score: Any = 10, reason: Any = "it is right") -> Reply:
    """A well-formed reply with this score."""
    return said(json.dumps({"reason": reason, "score": score}))


def said(content: Any, finish_reason: str = "stop") -> Reply:
    """A chat completion with this text."""
    choice = {"message": {"role": "assistant", "content": content}, "finish_reason": finish_reason}
    return 200, {}, json.dumps({"choices": [choice]}).encode()


def error(status: int, message: str = "no", **headers: str) -> Reply:
    return status, {name.replace("_", "-"): value for name, value in headers.items()}, message.encode()


class JudgeServer:
    """Replies with what `reply` makes of a request's body, or as scripted first. `None` hangs; "drop" hangs up.

    requests  the bodies that came, with their Authorization header under "key"
    most      how many were there at a time
    """

    def __init__(self) -> None:
        self.script: list[Reply | str | None] = []
        self.reply: Callable[[dict[str, Any]], Reply | str | None] = lambda body: grade()
        self.models: Reply = (200, {}, json.dumps({"data": [{"id": "judge"}]}).encode())
        self.requests: list[dict[str, Any]] = []
        self.seconds = 0.0
        self.now = self.most = 0
        self.lock = threading.Lock()
        self.over = threading.Event()
        server = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                self.send(server.models)

            def do_POST(self) -> None:
                body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                with server.lock:
                    server.requests.append({**body, "key": self.headers["Authorization"]})
                    server.now += 1
                    server.most = max(server.most, server.now)
                    scripted = bool(server.script)
                    reply = server.script.pop(0) if scripted else None
                try:
                    reply = reply if scripted else server.reply(body)
                    if reply is None:
                        server.over.wait(60)
                    elif isinstance(reply, str):
                        self.close_connection = True
                    else:
                        time.sleep(server.seconds)
                        self.send(reply)
                finally:
                    with server.lock:
                        server.now -= 1

            def send(self, reply: Reply) -> None:
                status, headers, data = reply
                self.send_response(status)
                for name, value in {"Content-Length": str(len(data)), **headers}.items():
                    self.send_header(name, value)
                self.end_headers()
                self.wfile.write(data)

            def log_message(self, format: str, *args: Any) -> None:
                pass

        self.http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.http.daemon_threads = True
        self.url = f"http://127.0.0.1:{self.http.server_address[1]}/v1"
        threading.Thread(target=self.http.serve_forever, args=(0.05,), daemon=True).start()

    @property
    def texts(self) -> list[str]:
        """What the judge was given to read."""
        return [request["messages"][-1]["content"] for request in self.requests]

    def close(self) -> None:
        self.over.set()
        self.http.shutdown()
        self.http.server_close()


@contextmanager
def judge_server() -> Iterator[JudgeServer]:
    server = JudgeServer()
    try:
        yield server
    finally:
        server.close()
