"""A server that answers as a test tells it, for what the double does with an answer."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from orchestrator.dev.ports import LOOPBACK


@dataclass(frozen=True)
class Asked:
    """One request."""

    method: str
    path: str
    headers: dict[str, str]
    body: Any


@dataclass(frozen=True)
class Reply:
    """
    One answer.

    Attributes:
        content: What is sent, as it is.
    """

    status: int
    content: bytes = b""

    @classmethod
    def json(cls, value: Any, status: int = 200) -> Reply:
        return cls(status, json.dumps(value).encode())


@dataclass
class StandIn:
    """What was asked, in the order of arrival."""

    url: str
    asked: list[Asked] = field(default_factory=list)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def note(self, asked: Asked) -> None:
        with self._lock:
            self.asked.append(asked)


class _Server(ThreadingHTTPServer):
    # A burst of calls that is longer than the queue is answered by broken connections.
    request_queue_size = 128
    daemon_threads = True
    block_on_close = False


@contextmanager
def stand_in(answer: Callable[[Asked], Reply]) -> Iterator[StandIn]:
    """A server that answers so, until the block is left."""
    server = _Server((LOOPBACK, 0), BaseHTTPRequestHandler)
    standing_in = StandIn(f"http://{LOOPBACK}:{server.server_port}")

    class Answer(BaseHTTPRequestHandler):
        def answer(self) -> None:
            content = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            headers = {name.lower(): value for name, value in self.headers.items()}
            body = json.loads(content) if content else None
            asked = Asked(self.command, self.path, headers, body)
            standing_in.note(asked)
            reply = answer(asked)
            self.send_response(reply.status)
            self.send_header("Content-Type", "application/json")
            if reply.status != 204:
                self.send_header("Content-Length", str(len(reply.content)))
            self.end_headers()
            self.wfile.write(reply.content)

        do_GET = do_POST = do_PUT = do_PATCH = answer  # noqa: N815

        def handle(self) -> None:
            try:
                super().handle()
            except OSError:
                return  # The double was killed.

        def log_message(self, *_: object) -> None:
            """Say nothing: what was asked is noted."""

    server.RequestHandlerClass = Answer
    thread = threading.Thread(
        target=server.serve_forever, args=(0.05,), name="stand-in", daemon=True
    )
    thread.start()
    try:
        yield standing_in
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
