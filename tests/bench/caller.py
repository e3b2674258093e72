"""One connection of the load generator: plain HTTP/1.1 over a plain socket."""

import re
import socket
import time
from collections.abc import Iterator
from typing import NamedTuple
from uuid import uuid4

import orjson

from tests.bench.failure import BenchError

# Replaced in a request: by a fresh id each time, by one id for each connection.
REQUEST_ID = "00000000-0000-4000-8000-00000000000a"
SESSION = "00000000-0000-4000-8000-00000000000b"
# Replaced in a report: by what the claim before it got.
RUN_ID = "00000000-0000-4000-8000-00000000000c"
LEASE_ID = "00000000-0000-4000-8000-00000000000d"
ANSWER_SECONDS = 15.0
READ_BYTES = 1024 * 1024

_LENGTH = re.compile(rb"\r\ncontent-length: *(\d+)\r\n", re.IGNORECASE)


class Answer(NamedTuple):
    """One request and its answer, times by this process's clock."""

    asked_at: float
    came_at: float
    status: int
    body: bytes
    is_report: bool


class Caller:
    """
    One connection with one request under way.

    Args:
        claim: The whole request as text, with `SESSION` and `REQUEST_ID` in
            place of what differs.
        report: Sent after each claim for the run that it got, with `RUN_ID` and
            `LEASE_ID` in place of it; without it claims follow each other.
    """

    def __init__(
        self, host: str, port: int, claim: str, report: str | None, request_ids: Iterator[bytes]
    ) -> None:
        self.socket = socket.create_connection((host, port), ANSWER_SECONDS)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        session = str(uuid4())
        self._claim = claim.replace(SESSION, session).encode()
        self._report = report.replace(SESSION, session).encode() if report else None
        self._owed: bytes | None = None
        self._request_ids = request_ids
        self._received = bytearray()
        self._asked_at = 0.0
        self._is_report = False

    @property
    def owes_a_report(self) -> bool:
        """Whether the next request reports what the last one claimed."""
        return self._owed is not None

    def ask(self) -> None:
        """Send the next request: what is owed, or a claim with the next id."""
        self._is_report = self._owed is not None
        request, self._owed = self._owed, None
        if request is None:
            request = self._claim.replace(REQUEST_ID.encode(), next(self._request_ids))
        self._asked_at = time.perf_counter()
        self.socket.sendall(request)

    def hear(self) -> Answer | None:
        """Read what is there; the answer, once it is whole."""
        chunk = self.socket.recv(READ_BYTES)
        if not chunk:
            raise BenchError("the server hung up on a client")
        self._received += chunk
        head_ends = self._received.find(b"\r\n\r\n")
        if head_ends < 0:
            return None
        length = _LENGTH.search(self._received, 0, head_ends + 2)
        if length is None:
            raise BenchError("an answer without Content-Length")
        if len(self._received) < (ends := head_ends + 4 + int(length[1])):
            return None
        status = int(self._received[9:12])
        body = bytes(self._received[head_ends + 4 : ends])
        self._received.clear()
        answer = Answer(self._asked_at, time.perf_counter(), status, body, self._is_report)
        if self._report is not None and not answer.is_report and status == 200:
            self._owed = _for_what_was_got(self._report, body)
        return answer


def _for_what_was_got(report: bytes, claimed: bytes) -> bytes | None:
    """The report of the one run that an answer hands out, if it does."""
    for dispatch in orjson.loads(claimed)["dispatches"]:
        run_id, lease_id = dispatch["run"]["id"], dispatch["lease"]["id"]
        return report.replace(RUN_ID.encode(), run_id.encode()).replace(
            LEASE_ID.encode(), lease_id.encode()
        )
    return None
