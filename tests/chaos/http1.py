"""As much of HTTP/1.1 as a proxy needs: where a message on a connection ends, and what it says."""

import asyncio
import re
from dataclasses import dataclass
from typing import Any

import orjson

LONGEST_HEAD_BYTES = 64 * 1024

_LENGTH = re.compile(rb"(?im)^content-length: *(\d+) *\r$")
_CHUNKED = re.compile(rb"(?im)^transfer-encoding:.*chunked")


@dataclass(frozen=True)
class Message:
    """One request or one answer, byte for byte."""

    head: bytes
    body: bytes

    @property
    def data(self) -> bytes:
        return self.head + self.body

    @property
    def first_line(self) -> list[str]:
        """A request's method, path and version; an answer's version, status and reason."""
        return self.head.partition(b"\r\n")[0].decode("ascii", "replace").split(" ", 2)

    @property
    def status(self) -> int:
        """An answer's status."""
        return int(self.first_line[1])

    def json(self) -> Any:
        """The body when it is JSON, else None."""
        try:
            return orjson.loads(self.body)
        except orjson.JSONDecodeError:
            return None


async def read_message(reader: asyncio.StreamReader) -> Message | None:
    """
    The next message of a connection; None when the other side has closed it.

    Raises:
        ValueError: A length that is not told ahead; neither side of ours sends that.
        asyncio.IncompleteReadError: It closed in the middle of a message.
    """
    try:
        head = await reader.readuntil(b"\r\n\r\n")
    except asyncio.IncompleteReadError as error:
        if error.partial:
            raise
        return None
    if _CHUNKED.search(head):
        raise ValueError("a chunked message")
    length = _LENGTH.search(head)
    return Message(head, await reader.readexactly(int(length[1])) if length else b"")
