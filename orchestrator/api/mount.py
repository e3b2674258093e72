"""The service below a path of another's: `https://example.com/dibs/`."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIEnvironment

Wsgi = Callable[["WSGIEnvironment", "StartResponse"], Iterable[bytes]]


def below(prefix: str, serve: Wsgi) -> Wsgi:
    """
    The same application, below a prefix.

    What does not begin with the prefix is served as it is: some proxies strip it, and
    probes come past the proxy. The prefix is none of the service's own paths, so that
    no path means two things.
    """
    root = f"{prefix}/"

    def serve_below(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        path: str = environ["PATH_INFO"]
        if path == prefix or path.startswith(root):
            environ["SCRIPT_NAME"] = prefix
            environ["PATH_INFO"] = path[len(prefix) :] or "/"
        return serve(environ, start_response)

    return serve_below
