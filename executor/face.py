"""Serves the executor's HTTP face: waitress, in a thread."""

import threading
from typing import Any

import structlog
from flask import Flask
from waitress.server import create_server  # type: ignore[import-untyped]
from waitress.wasyncore import close_all  # type: ignore[import-untyped]

log = structlog.get_logger()

# Waitress reads a body before Flask sees it. Its own cap only keeps memory
# small; Flask's, below it, answers in JSON.
LARGEST_BUFFERED_BODY_BYTES = 1024 * 1024
THREADS = 8
CLOSE_SECONDS = 1.0


class CannotListenError(Exception):
    """The address cannot be listened on; the message says which and why."""

    exit_code = 69


class Face:
    """A listening server; the port is bound when it is made, and served when started."""

    def __init__(self, app: Flask, host: str, port: int) -> None:
        self._sockets: dict[int, Any] = {}
        try:
            self._server = create_server(
                app,
                map=self._sockets,
                host=host,
                port=port,
                threads=THREADS,
                max_request_body_size=LARGEST_BUFFERED_BODY_BYTES,
                ident=None,
                asyncore_use_poll=True,
            )
        except OSError as error:
            raise CannotListenError(
                f"Cannot listen on EXECUTOR_HTTP_HOST {host}, EXECUTOR_HTTP_PORT {port}: "
                f"{error.strerror or error}."
            ) from None
        shown_host = f"[{host}]" if ":" in host else host
        self.url = f"http://{shown_host}:{self._server.effective_port}"
        self._thread = threading.Thread(target=self._server.run, name="http", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def close(self) -> None:
        """Stop listening and close every connection."""
        # On the loop's own thread: closed under it, a socket would be its error.
        self._server.trigger.pull_trigger(lambda: close_all(self._sockets, ignore_all=True))
        if self._thread.is_alive():
            self._thread.join(CLOSE_SECONDS)
        self._server.task_dispatcher.shutdown()
