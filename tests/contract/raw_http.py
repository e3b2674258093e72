"""HTTP by hand: for what no decent client would send."""

import contextlib
import socket
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
