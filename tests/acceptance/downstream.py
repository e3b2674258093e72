"""A system downstream: counts the effects that handlers cause, and refuses fences that fall."""

import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import httpx2
import orjson

from orchestrator.dev.ports import LOOPBACK

DOWNSTREAM = "ACCEPTANCE_DOWNSTREAM"


@dataclass(frozen=True)
class Effect:
    """What a handler asks for: once under this key, and only while its fence is the highest."""

    run_id: str
    idempotency_key: str
    fence: int


@dataclass
class Downstream:
    """
    What has been caused, and what was refused.

    A key that comes again is not refused, as it would be elsewhere: here it is
    to show in the count.
    """

    url: str
    refused: list[Effect] = field(default_factory=list)
    _happened: list[Effect] = field(default_factory=list)
    _fences: dict[str, int] = field(default_factory=dict)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def receive(self, effect: Effect) -> bool:
        """Let an effect happen, unless its run has been here with a higher fence."""
        with self._lock:
            highest = max(effect.fence, self._fences.get(effect.run_id, 0))
            self._fences[effect.run_id] = highest
            is_current = effect.fence == highest
            (self._happened if is_current else self.refused).append(effect)
            return is_current

    def effects_of(self, run_id: str) -> Counter[str]:
        """How often something happened for a run, by idempotency key."""
        with self._lock:
            return Counter(one.idempotency_key for one in self._happened if one.run_id == run_id)


def cause(url: str, effect: Effect) -> bool:
    """Ask the system at this address for an effect; False when it refuses the fence."""
    answer = httpx2.post(
        f"{url}/effects", json=asdict(effect), timeout=30, trust_env=False, verify=False
    )
    if answer.status_code == 409:
        return False
    answer.raise_for_status()
    return True


@contextmanager
def downstream_system() -> Iterator[Downstream]:
    """A system that has seen nothing yet, until the block is left."""
    server = ThreadingHTTPServer((LOOPBACK, 0), BaseHTTPRequestHandler)
    downstream = Downstream(f"http://{LOOPBACK}:{server.server_port}")

    class Receive(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            asked = orjson.loads(self.rfile.read(int(self.headers["Content-Length"])))
            happened = downstream.receive(Effect(**asked))
            self.send_response(201 if happened else 409)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_: object) -> None:
            """Say nothing: what was asked for is counted."""

    server.RequestHandlerClass = Receive
    server.daemon_threads = True
    server.block_on_close = False
    thread = threading.Thread(
        target=server.serve_forever, args=(0.05,), name="downstream", daemon=True
    )
    thread.start()
    try:
        yield downstream
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
