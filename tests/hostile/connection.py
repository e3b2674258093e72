"""One connection on which everything is heard until it is closed."""

import select
import socket
import time
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final
from urllib.parse import urlsplit

from tests.contract.raw_http import RawAnswer

PATIENCE_SECONDS: Final = 20.0
NO_ANSWER: Final = RawAnswer(0, {}, b"")
_READ_BYTES: Final = 65_536


@dataclass(frozen=True)
class Heard:
    """
    What one connection came to.

    Attributes:
        sent_bytes: How much of it the kernel took.
        is_closed: Whether the server closed it within the time.
    """

    answers: list[RawAnswer]
    sent_bytes: int
    is_closed: bool

    @property
    def first(self) -> RawAnswer:
        """The first answer; status 0 for none."""
        return self.answers[0] if self.answers else NO_ANSWER


def converse(
    url: str, pieces: Iterable[bytes], *, within_seconds: float = PATIENCE_SECONDS
) -> Heard:
    """Send these bytes for as long as they are taken, and listen until the server closes."""
    parts = urlsplit(url)
    deadline = time.monotonic() + within_seconds
    unsent, waiting = iter(pieces), memoryview(b"")
    received, sent_bytes, is_closed, has_more = b"", 0, False, True
    with socket.create_connection((parts.hostname, parts.port), timeout=within_seconds) as it:
        it.setblocking(False)
        while not is_closed and (left := deadline - time.monotonic()) > 0:
            if not waiting and has_more:
                piece = next(unsent, None)
                has_more = piece is not None
                waiting = memoryview(piece or b"")
            # Read first: what is sent to somebody who has hung up takes his answer away.
            readable, writable, _ = select.select([it], [it] if waiting else [], [], left)
            try:
                if readable:
                    chunk = it.recv(_READ_BYTES)
                    received += chunk
                    is_closed = not chunk
                elif writable:
                    taken = it.send(waiting)
                    waiting, sent_bytes = waiting[taken:], sent_bytes + taken
            except OSError:
                is_closed = True
    return Heard(_answers_in(received), sent_bytes, is_closed)


def _answers_in(received: bytes) -> list[RawAnswer]:
    answers = []
    while received:
        head, _, rest = received.partition(b"\r\n\r\n")
        status, *lines = head.decode("latin-1").split("\r\n")
        named = (line.partition(":") for line in lines)
        headers = {name.lower(): value.strip() for name, _, value in named}
        length = int(headers.get("content-length", len(rest)))
        answers.append(RawAnswer(int(status.split()[1]), headers, rest[:length]))
        received = rest[length:]
    return answers
