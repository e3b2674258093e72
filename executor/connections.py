"""The face's connections: how long each may keep us waiting, and which goes when there are many.

Waitress reads a request as a whole before it asks for a thread, so whoever sends
slowly costs a connection and nothing else. These are what is few then.
"""

import re
from typing import Any

import orjson
from waitress.channel import HTTPChannel  # type: ignore[import-untyped]
from waitress.parser import (  # type: ignore[import-untyped]
    HTTPRequestParser,
    ParsingError,
    TransferEncodingNotImplemented,
)
from waitress.server import TcpWSGIServer  # type: ignore[import-untyped]
from waitress.task import ErrorTask  # type: ignore[import-untyped]

from executor.deadline import monotonic_seconds

REQUEST_SECONDS = 10.0
"""From a connection's beginning, or its last answer, until the next request is there."""

MOST_CONNECTIONS = 100
MOST_HEADERS = 100

MOST_WAITING_REQUESTS = 4
"""Of one connection, beside the one that is served: more sends only who awaits no answers."""


class Parser(HTTPRequestParser):  # type: ignore[misc]
    """Reads a request whose end can be seen in one way only."""

    def parse_header(self, header_plus: bytes) -> None:
        if header_plus.count(b"\n") > MOST_HEADERS:
            raise ParsingError("too many headers")
        try:
            super().parse_header(header_plus)
        except TransferEncodingNotImplemented:
            raise ParsingError("an unknown length") from None
        # Of HTTP/1.1 it is gone, once it is understood.
        unknown = "TRANSFER_ENCODING" in self.headers
        if unknown or (self.chunked and "CONTENT_LENGTH" in self.headers):
            raise ParsingError("two lengths, or none")


class Refusal(ErrorTask):  # type: ignore[misc]
    """The answer to what is no proper request; nothing of it is repeated."""

    def execute(self) -> None:
        error = self.request.error
        code = "malformed_request" if error.code == 400 else _code(error.reason)
        body = orjson.dumps({"error": error.reason, "code": code})
        self.status = f"{error.code} {error.reason}"
        self.response_headers.append(("Content-Type", "application/json"))
        self.set_close_on_finish()
        self.content_length = len(body)
        self.write(body)


class Connection(HTTPChannel):  # type: ignore[misc]
    """
    One connection.

    Attributes:
        waits_since: Since when we wait for its next request, while none is served.
    """

    parser_class = Parser
    error_task_class = Refusal

    def __init__(self, *args: Any, **named: Any) -> None:
        self.waits_since = monotonic_seconds()
        super().__init__(*args, **named)

    def received(self, data: bytes) -> bool:
        taken: bool = super().received(data)
        with self.requests_lock:
            if len(self.requests) > 1 + MOST_WAITING_REQUESTS:
                # The first is being served; its own thread takes it out.
                del self.requests[1:]
                self.will_close = True
        return taken

    def service(self) -> None:
        # Also before: whoever has his answer already has not waited since his last one.
        self.waits_since = monotonic_seconds()
        super().service()
        self.waits_since = monotonic_seconds()


class Listener(TcpWSGIServer):  # type: ignore[misc]
    """
    Accepts connections, and ends those that keep it waiting.

    One that has sent no whole request for `request_seconds`, or has not read its
    answer, is closed. When there are too many, the one that has waited longest
    makes room: so connections that send nothing keep out nobody who sends something.
    """

    channel_class = Connection

    def __init__(self, *args: Any, request_seconds: float, **named: Any) -> None:
        self._request_seconds = request_seconds
        super().__init__(*args, **named)

    def handle_accept(self) -> None:
        waiting = self._waiting()
        if len(self.active_channels) >= MOST_CONNECTIONS and waiting:
            min(waiting, key=lambda connection: connection.waits_since).will_close = True
        super().handle_accept()

    def maintenance(self, now: float) -> None:  # noqa: ARG002 - the clock that may step
        late = monotonic_seconds() - self._request_seconds
        for connection in self._waiting():
            if connection.waits_since < late:
                connection.will_close = True

    def _waiting(self) -> list[Connection]:
        return [
            connection
            for connection in self.active_channels.values()
            if not connection.requests and not connection.will_close
        ]


def _code(reason: str) -> str:
    return re.sub(r"[^a-z]+", "_", reason.lower())
