"""One connection of the load generator: plain HTTP/1.1 over a plain socket."""

import re
import socket
import time
from collections.abc import Iterator
from dataclasses import dataclass
from uuid import uuid4

# Replaced in a request: by a fresh id each time, by one id for each connection.
REQUEST_ID = "00000000-0000-4000-8000-00000000000a"
SESSION = "00000000-0000-4000-8000-00000000000b"
ANSWER_SECONDS = 15.0
READ_BYTES = 1024 * 1024

_LENGTH = re.compile(rb"\r\ncontent-length: *(\d+)\r\n", re.IGNORECASE)


@dataclass(frozen=True)
class Answer:
    """One request and its answer, times by this process's clock."""

    asked_at: float
    came_at: float
    status: int
    body: bytes


class Caller:
    """
    One connection with one request under way.

    Args:
        request: The whole request as text, with `SESSION` and `REQUEST_ID` in
            place of what differs.
    """

    def __init__(self, host: str, port: int, request: str, request_ids: Iterator[bytes]) -> None:
        self.socket = socket.create_connection((host, port), ANSWER_SECONDS)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._request = request.replace(SESSION, str(uuid4())).encode()
        self._request_ids = request_ids
        self._received = bytearray()
        self._asked_at = 0.0

    def ask(self) -> None:
        """Send the request with the next id."""
        self._asked_at = time.perf_counter()
        self.socket.sendall(self._request.replace(REQUEST_ID.encode(), next(self._request_ids)))

    def hear(self) -> Answer | None:
        """Read what is there; the answer, once it is whole."""
        chunk = self.socket.recv(READ_BYTES)
        if not chunk:
            raise ConnectionError("the server hung up")
        self._received += chunk
        head_ends = self._received.find(b"\r\n\r\n")
        if head_ends < 0:
            return None
        length = _LENGTH.search(self._received, 0, head_ends + 2)
        if length is None:
            raise ConnectionError("an answer without Content-Length")
        if len(self._received) < (ends := head_ends + 4 + int(length[1])):
            return None
        status = int(self._received[9:12])
        body = bytes(self._received[head_ends + 4 : ends])
        self._received.clear()
        return Answer(self._asked_at, time.perf_counter(), status, body)
