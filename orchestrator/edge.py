"""The edge: what the server calls for each request, and how it is answered.

It is granian's own way from a request to WSGI, with three things of ours. The environment
holds nothing of the process's environment, where secrets may stand. Every answer has
the headers that all have. And a body that does not arrive in time is answered 408, by a
watch instead of the thread that waits for it.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from functools import partial
from typing import TYPE_CHECKING, Any, Final, Protocol

from orchestrator.api.answer_headers import complete
from orchestrator.api.application import Application
from orchestrator.api.call import call
from orchestrator.api.problems import problem_answer
from orchestrator.api.slow_bodies import SlowBodies, too_late

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIEnvironment

# Until the server has sent what it was given; nothing tells.
_SENT_SECONDS: Final = 0.5


class Connection(Protocol):
    """What granian gives to answer one request by; the first answer counts."""

    def response_bytes(self, status: int, headers: list[tuple[str, str]], body: bytes) -> None: ...
    def response_iter(
        self, status: int, headers: list[tuple[str, str]], body: Iterator[bytes]
    ) -> None: ...


class Edge:
    """
    One process's edge; called by many threads at once.

    Attributes:
        on_served: To be called when the last request has been answered.
    """

    def __init__(
        self,
        application: Application,
        bodies: SlowBodies,
        *,
        on_served: Callable[[], None] = lambda: None,
    ):
        self.on_served = on_served
        self._application = application
        self._bodies = bodies
        self._of_every_request: dict[str, Any] = {
            "SCRIPT_NAME": "",
            "wsgi.errors": sys.stderr,
            "wsgi.input_terminated": True,
            "wsgi.multiprocess": False,
            "wsgi.multithread": True,
            "wsgi.run_once": False,
            "wsgi.version": (1, 0),
        }

    def __call__(self, connection: Connection, environ: WSGIEnvironment) -> None:
        """Answer one request."""
        environ.update(self._of_every_request)
        # Where a chunked body ends is a matter of opinion among programs: nothing that
        # comes after one is read as a request.
        is_last = "HTTP_TRANSFER_ENCODING" in environ
        if is_last or "CONTENT_LENGTH" in environ:
            environ["wsgi.input"] = self._bodies.timed(
                environ["wsgi.input"], partial(self._cut_off, connection)
            )
        answered = _Answered()
        body = self._application(environ, answered)
        headers = complete(answered.headers, environ["PATH_INFO"], close=is_last)
        if isinstance(body, list):
            connection.response_bytes(answered.status, headers, b"".join(body))
        else:
            connection.response_iter(answered.status, headers, iter(body))

    def _cut_off(self, connection: Connection, politely: bool) -> None:
        answered = self._application.process_response(problem_answer(too_late()))
        # One byte more than will ever come. An answer that breaks off is what makes the
        # server drop a connection whose request it has not read to the end; a whole one
        # would leave it, and the thread that reads, to the client.
        answered.content_length = len(answered.data) + 1
        headers = complete(answered.headers.to_wsgi_list(), call().path, close=True)
        connection.response_iter(
            answered.status_code, headers, _broken_off(answered.data, politely)
        )


class _Answered:
    """WSGI's `start_response`, and what it was called with."""

    __slots__ = ("headers", "status")

    def __call__(
        self, status: str, headers: list[tuple[str, str]], *_: object
    ) -> Callable[[bytes], object]:
        self.status = int(status[:3])
        self.headers = headers
        return _written


def _written(_: bytes) -> None:
    raise NotImplementedError("Nothing here writes a body by `write`.")


def _broken_off(body: bytes, politely: bool) -> Iterator[bytes]:
    """An answer's body that ends too early; politely once what there is of it has been sent."""
    yield body
    if politely:
        time.sleep(_SENT_SECONDS)
