"""HTTP by hand: for what no decent client would send."""

import contextlib
import socket
import time
from collections.abc import Iterable
from dataclasses import dataclass
from urllib.parse import urlsplit

import orjson

SECONDS = 20.0


@dataclass(frozen=True)
class RawAnswer:
    """What came back until the server closed or had answered once; status 0 for nothing."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def code(self) -> str | None:
        """The code of a problem document."""
        if self.headers.get("content-type") != "application/problem+json":
            return None
        return str(orjson.loads(self.body)["code"])


@dataclass(frozen=True)
class Ended:
    """A connection that the server has closed."""

    answers: list[RawAnswer]
    sent_bytes: int
    seconds: float

    @property
    def status(self) -> int:
        """The status of the only answer; 0 when there was none."""
        assert len(self.answers) <= 1, self.answers
        return self.answers[0].status if self.answers else 0


def send_raw(url: str, request: bytes) -> RawAnswer:
    """Send these bytes and read one answer."""
    parts = urlsplit(url)
    with socket.create_connection((parts.hostname, parts.port), timeout=SECONDS) as connection:
        # It may be closed before all is sent; perhaps it has answered then.
        with contextlib.suppress(OSError):
            connection.sendall(request)
        return _read(connection)


def _read(connection: socket.socket) -> RawAnswer:
    received = b""
    try:
        while not _is_whole(received):
            chunk = connection.recv(65536)
            if not chunk:
                break
            received += chunk
    except ConnectionError:
        pass
    if b"\r\n\r\n" not in received:
        return RawAnswer(0, {}, b"")
    return _parse(received)


def _parse(received: bytes) -> RawAnswer:
    head, _, body = received.partition(b"\r\n\r\n")
    status, *lines = head.decode("latin-1").split("\r\n")
    headers = {name.lower(): value.strip() for name, _, value in (x.partition(":") for x in lines)}
    return RawAnswer(int(status.split()[1]), headers, body)


def _is_whole(received: bytes) -> bool:
    head, separator, body = received.partition(b"\r\n\r\n")
    for line in head.lower().split(b"\r\n"):
        if line.startswith(b"content-length:"):
            return bool(separator) and len(body) >= int(line.partition(b":")[2])
    return False


def until_closed(url: str, pieces: Iterable[bytes], *, pause_seconds: float = 0) -> Ended:
    """
    Send these pieces, and read whatever comes until the server closes the connection.

    Args:
        pause_seconds: How long to wait between two pieces.

    Raises:
        TimeoutError: It does not close it.
    """
    parts = urlsplit(url)
    began_at, sent_bytes = time.monotonic(), 0
    with socket.create_connection((parts.hostname, parts.port), timeout=SECONDS) as connection:
        with contextlib.suppress(ConnectionError):
            for piece in pieces:
                connection.sendall(piece)
                sent_bytes += len(piece)
                time.sleep(pause_seconds)
        received = bytearray()
        with contextlib.suppress(ConnectionError):
            while chunk := connection.recv(65536):
                received += chunk
    return Ended(list(_answers(bytes(received))), sent_bytes, time.monotonic() - began_at)


def _answers(received: bytes) -> Iterable[RawAnswer]:
    """The answers in this, one after another; the last may be cut short."""
    while received:
        answer = _parse(received)
        yield answer
        head_bytes = received.index(b"\r\n\r\n") + 4
        received = received[head_bytes + int(answer.headers.get("content-length", 0)) :]
