"""Ports that stay a test's own for as long as it wants them."""

import socket
import weakref

from orchestrator.dev.ports import LOOPBACK


class OwnPort:
    """
    A port that nobody is given who asks for any, while this object lives.

    A port that is only looked up is anybody's again at once, and again whenever its server is
    down: another test's server, or a connection on its way out, may have it then. A socket that
    is bound and does not listen keeps it (Linux); servers that set SO_REUSEADDR, as all do that
    tests start, can listen on it all the same.
    """

    def __init__(self) -> None:
        held = socket.socket()
        held.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        held.bind((LOOPBACK, 0))
        weakref.finalize(self, held.close)
        self.number = int(held.getsockname()[1])
