"""One of the server's processes: granian's own, with an edge and a listening socket of ours.

granian puts its WSGI around what it is given to call, and between the two there is no place
for what `edge.py` does; so the edge is called in the place of its WSGI.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Callable
from typing import Any, Final

from granian.server import MPServer, mp
from granian.server.mp import WorkerProcess

from orchestrator.edge import Edge

# How long an answer may stay unread, or a peer be gone without a word.
UNREAD_WITHIN_MS: Final = 20_000


@WorkerProcess.wrap_target  # type: ignore[untyped-decorator]
def serve_worker(
    number: int, start: Callable[[int], Edge], sockets: tuple[Any, Any], *settings: Any
) -> None:
    """
    Serve until told to end; a `spawn_target` of granian, in the new process.

    Args:
        start: Makes the edge of the worker with this number.
    """
    mp._wsgi_call_wrap = lambda called, *_: called  # type: ignore[attr-defined]  # noqa: SLF001
    spawn = MPServer._spawn_wsgi_worker.__wrapped__  # noqa: SLF001
    edge = start(number)
    spawn(number, edge, (None, _listening(*sockets)), *settings)
    edge.on_served()


def _listening(specified: Any, shared: Any) -> Any:
    """The socket that this worker listens on; what it accepts inherits its time-out."""
    held = shared or specified.build()
    with socket.socket(fileno=os.dup(held.get_fd())) as listener:
        # hyper waits for ever for a client that does not take its answer, and connections
        # are counted: without this, whoever leaves enough answers unread shuts the service.
        listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, UNREAD_WITHIN_MS)
    return held
