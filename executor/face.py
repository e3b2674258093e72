"""Serves the executor's HTTP face: waitress, in a thread."""

import logging
import socket
import threading
from contextlib import suppress
from typing import Any

from flask import Flask
from waitress.wasyncore import close_all  # type: ignore[import-untyped]

from executor.connections import MOST_CONNECTIONS, REQUEST_SECONDS, Listener

LARGEST_BODY_BYTES = 256 * 1024
LARGEST_HEADER_BYTES = 16 * 1024
THREADS = 16
LOOK_SECONDS = 1
CLOSE_SECONDS = 1.0


class CannotListenError(Exception):
    """The address cannot be listened on; the message says which and why."""

    exit_code = 69


class Face:
    """A listening server; the port is bound when it is made, and served when started."""

    def __init__(
        self, app: Flask, host: str, port: int, *, request_seconds: float = REQUEST_SECONDS
    ) -> None:
        """
        Args:
            request_seconds: How long a connection may take to send a request.

        Raises:
            CannotListenError: Somebody else listens there, or there is no such address.
        """
        # Strangers must not fill the log: waitress says so for each request that waits.
        logging.getLogger("waitress.queue").setLevel(logging.ERROR)
        self._sockets: dict[int, Any] = {}
        try:
            self._server = Listener(
                app,
                map=self._sockets,
                host=host,
                port=port,
                threads=THREADS,
                # It refuses what reaches these.
                max_request_header_size=LARGEST_HEADER_BYTES + 1,
                max_request_body_size=LARGEST_BODY_BYTES + 1,
                # Far beyond what `Listener` keeps: there nothing is accepted any more.
                connection_limit=2 * MOST_CONNECTIONS,
                cleanup_interval=LOOK_SECONDS,
                asyncore_loop_timeout=LOOK_SECONDS,
                log_socket_errors=False,
                ident=None,
                asyncore_use_poll=True,
                request_seconds=request_seconds,
            )
        except (OSError, ValueError) as error:
            reason = getattr(error, "strerror", None) or error
            raise CannotListenError(
                f"Cannot listen on EXECUTOR_HTTP_HOST {host}, EXECUTOR_HTTP_PORT {port}: {reason}."
            ) from None
        self.url = f"http://{shown_host(host)}:{self._server.effective_port}"
        self._thread = threading.Thread(target=self._server.run, name="http", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def close(self) -> None:
        """Stop listening and close every connection."""
        # On the loop's own thread: closed under it, a socket would be its error. That thread
        # may be awake, and have done it before it is woken for it.
        with suppress(OSError):
            self._server.trigger.pull_trigger(lambda: close_all(self._sockets, ignore_all=True))
        if self._thread.is_alive():
            self._thread.join(CLOSE_SECONDS)
        self._server.task_dispatcher.shutdown()


def shown_host(host: str) -> str:
    """A host as others may find it in a URL."""
    if host in ("0.0.0.0", "::"):  # noqa: S104 - compared, not listened on
        # Every address of this machine: by its name it can be asked for.
        return socket.gethostname()
    return f"[{host}]" if ":" in host else host
