"""Proper HTTP/1.1: what the server lets through and no two programs would read alike."""

from __future__ import annotations

from typing import TYPE_CHECKING

from orchestrator.api.refusals import MalformedRequest

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIEnvironment


def require_proper_http(environ: WSGIEnvironment) -> None:
    """
    Refuse what a proxy in front may have understood differently.

    The server itself refuses what it cannot read: malformed lines and lengths, two
    unequal lengths, a Transfer-Encoding that does not end with `chunked`.

    Raises:
        MalformedRequest: It is another version of HTTP, names no host or two, asks for
            something that is no path, or says in two ways where its body ends.
    """
    host = environ.get("HTTP_HOST")
    # The server joins equal headers by a comma.
    if environ.get("SERVER_PROTOCOL") != "HTTP/1.1" or not host or "," in host:
        raise MalformedRequest("Send HTTP/1.1 with one Host.")
    if not environ["PATH_INFO"].startswith("/"):
        raise MalformedRequest("Ask for a path.")
    if "HTTP_TRANSFER_ENCODING" in environ:
        _require_one_framing(environ)


def _require_one_framing(environ: WSGIEnvironment) -> None:
    if environ["HTTP_TRANSFER_ENCODING"].lower() != "chunked" or "CONTENT_LENGTH" in environ:
        raise MalformedRequest("Send a Content-Length, or Transfer-Encoding: chunked.")
