"""A relay between executor and orchestrator: counts requests, loses or holds back answers."""

import http.client
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import urlsplit

import orjson

from orchestrator.dev.ports import LOOPBACK
from tests.acceptance.waiting import PATIENCE_SECONDS

NOT_PASSED_ON = {"connection", "keep-alive", "transfer-encoding", "content-length"}


@dataclass(frozen=True)
class Passed:
    """One request that went through, and how it was answered."""

    method: str
    path: str
    body: Any
    status: int
    answer: Any
    lost: bool


@dataclass
class Relay:
    """
    What has passed, and what is to be lost or held back.

    An answer that is lost was given: the orchestrator has done what was asked,
    and the executor sees its connection close, or what a proxy says in its place.
    """

    url: str
    passed: list[Passed] = field(default_factory=list)
    _losses: dict[str, int] = field(default_factory=dict)
    _instead: dict[str, int] = field(default_factory=dict)
    _held_back: dict[str, threading.Event] = field(default_factory=dict)
    _late: dict[str, threading.Event] = field(default_factory=dict)
    _is_cut: threading.Event = field(default_factory=threading.Event)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def lose_answers(self, path: str, times: int, *, instead: int | None = None) -> None:
        """
        Lose the next answers to requests of this path that granted something.

        Args:
            instead: The status that is answered in their place; None closes the connection.
        """
        with self._lock:
            self._losses[path] = times
            if instead is not None:
                self._instead[path] = instead

    def hold_back_request(self, path: str) -> threading.Event:
        """Hold back the next request of this path on its way, until set; others overtake it."""
        let_go = threading.Event()
        with self._lock:
            self._late[path] = let_go
        return let_go

    def wait_to_pass(self, path: str) -> None:
        """Be held back, if this request is to be."""
        with self._lock:
            let_go = self._late.pop(path, None)
        if let_go is not None:
            let_go.wait(PATIENCE_SECONDS)

    def cut(self) -> None:
        """Pass nothing on, as if the network were gone."""
        self._is_cut.set()

    def heal(self) -> None:
        """Pass everything on again."""
        self._is_cut.clear()

    @property
    def is_cut(self) -> bool:
        return self._is_cut.is_set()

    def hold_back_answers(self, path: str) -> threading.Event:
        """Hold back answers to requests of this path that granted something, until set."""
        let_go = threading.Event()
        with self._lock:
            self._held_back[path] = let_go
        return let_go

    def requests(self, path: str | None = None) -> list[Passed]:
        """What has passed, in order; only of one path if it is given."""
        with self._lock:
            return [one for one in self.passed if path in (None, one.path)]

    def instead_of(self, path: str) -> int | None:
        """What is answered in place of a lost answer; None when nothing is."""
        with self._lock:
            return self._instead.get(path)

    def note(self, method: str, path: str, body: bytes, status: int, answer: bytes) -> bool:
        """Note a request, hold its answer back if need be; whether that is to be lost."""
        said = orjson.loads(answer) if answer else None
        with self._lock:
            grants = status == 200 and (not isinstance(said, dict) or said.get("dispatches") != [])
            lost = grants and self._losses.get(path, 0) > 0
            if lost:
                self._losses[path] -= 1
            asked = orjson.loads(body) if body else None
            self.passed.append(Passed(method, path, asked, status, said, lost))
            let_go = self._held_back.get(path) if grants else None
        if let_go is not None:
            let_go.wait(PATIENCE_SECONDS)
        return lost


@contextmanager
def relay_to(upstream_url: str) -> Iterator[Relay]:
    """A relay to this server, until the block is left."""
    upstream = urlsplit(upstream_url).netloc
    server = ThreadingHTTPServer((LOOPBACK, 0), BaseHTTPRequestHandler)
    relay = Relay(f"http://{LOOPBACK}:{server.server_port}")

    class PassOn(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def setup(self) -> None:
            super().setup()
            self.upstream = http.client.HTTPConnection(upstream, timeout=60)

        def finish(self) -> None:
            super().finish()
            self.upstream.close()

        def pass_on(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            relay.wait_to_pass(self.path)
            if relay.is_cut:
                self.close_connection = True
                return
            try:
                self.upstream.request(self.command, self.path, body, dict(self.headers))
                answer = self.upstream.getresponse()
                said = answer.read()
            except (OSError, http.client.HTTPException):
                self.close_connection = True
                return
            if relay.note(self.command, self.path, body, answer.status, said):
                self.close_connection = True
                if instead := relay.instead_of(self.path):
                    self.send_error(instead)
                return
            self.send_response_only(answer.status)
            for name, value in answer.getheaders():
                if name.lower() not in NOT_PASSED_ON:
                    self.send_header(name, value)
            self.send_header("Content-Length", str(len(said)))
            self.end_headers()
            self.wfile.write(said)

        do_GET = do_POST = do_PUT = do_PATCH = pass_on  # noqa: N815

        def handle(self) -> None:
            try:
                super().handle()
            except OSError:
                return  # The executor was killed.

        def log_message(self, *_: object) -> None:
            """Say nothing: what passed is noted."""

    server.RequestHandlerClass = PassOn
    server.daemon_threads = True
    server.block_on_close = False
    thread = threading.Thread(target=server.serve_forever, args=(0.05,), name="relay", daemon=True)
    thread.start()
    try:
        yield relay
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
