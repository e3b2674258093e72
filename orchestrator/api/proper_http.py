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
    unequal lengths, a Transfer-Encoding that does not end with `chunked`. A length beside
    that it drops, as RFC 9112 has it, and closes the connection after its answer.

    Raises:
        MalformedRequest: It is another version of HTTP, names no host or two, asks for
            something that is no path, has a method in small letters, which would be
            taken for the one in capitals, or a body that is encoded twice.
    """
    host = environ.get("HTTP_HOST")
    # The server joins equal headers by a comma.
    if environ.get("SERVER_PROTOCOL") != "HTTP/1.1" or not host or "," in host:
        raise MalformedRequest("Send HTTP/1.1 with one Host.")
    if not (environ["PATH_INFO"].startswith("/") and environ["REQUEST_METHOD"].isupper()):
        raise MalformedRequest("Ask for a path, by a method in capital letters.")
    if environ.get("HTTP_TRANSFER_ENCODING", "chunked").lower() != "chunked":
        raise MalformedRequest("Send a Content-Length, or Transfer-Encoding: chunked.")
