"""A request's body: which are read at all, and how much of them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from werkzeug.http import parse_options_header
from werkzeug.wsgi import get_content_length

from orchestrator.api.reader import read_json
from orchestrator.api.refusals import (
    MalformedJson,
    MalformedRequest,
    PayloadTooLarge,
    UnsupportedEncoding,
    UnsupportedMediaType,
)
from orchestrator.errors import ValidationFailed
from orchestrator.store.patience import begin_anew

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIEnvironment

_JSON: Final = "application/json"
_CHUNK_BYTES: Final = 64 * 1024


def read_object(environ: WSGIEnvironment, *, limit_bytes: int, required: bool) -> dict[str, Any]:
    """
    Read a request's body as one JSON object.

    Args:
        limit_bytes: A larger body is refused: before it is read when it says
            its length, at the limit when it is chunked.
        required: Whether the body may be left out; if so that means `{}`.

    Raises:
        UnsupportedMediaType, UnsupportedEncoding: It is not plain application/json.
        PayloadTooLarge: It is larger than the limit.
        MalformedRequest: It ends before its Content-Length.
        RequestTimeout: It did not arrive in time.
        ValidationFailed: It is JSON, but not an object.
        And what `read_json` refuses.
    """
    if environ.get("HTTP_CONTENT_ENCODING", "identity").lower() != "identity":
        raise UnsupportedEncoding("Send the body as it is, without Content-Encoding.")
    length = get_content_length(environ)
    if length is not None and length > limit_bytes:
        raise _too_large(limit_bytes)
    has_body = bool(length) or "HTTP_TRANSFER_ENCODING" in environ
    if has_body or required:
        _refuse_media_type(environ.get("CONTENT_TYPE", ""))
    body = _read(environ, length, limit_bytes) if has_body else b""
    if not body:
        if required:
            raise MalformedJson("This route needs a JSON body.")
        return {}
    value = read_json(body)
    if not isinstance(value, dict):
        raise ValidationFailed([{"path": "", "message": "must be a JSON object"}])
    return value


def read_bytes(environ: WSGIEnvironment, *, limit_bytes: int) -> bytes:
    """
    A request's body as it came, of whatever kind it is.

    Raises:
        PayloadTooLarge: It is larger than the limit.
        MalformedRequest: It ends before its Content-Length.
    """
    length = get_content_length(environ)
    if length is not None and length > limit_bytes:
        raise _too_large(limit_bytes)
    if not length and "HTTP_TRANSFER_ENCODING" not in environ:
        return b""
    return _read(environ, length, limit_bytes)


def _refuse_media_type(content_type: str) -> None:
    if content_type == _JSON:
        return
    mimetype, parameters = parse_options_header(content_type)
    charset = parameters.get("charset", "utf-8").lower()
    if mimetype.lower() != _JSON or charset != "utf-8":
        raise UnsupportedMediaType("Send the body with Content-Type: application/json.")


def _read(environ: WSGIEnvironment, length: int | None, limit_bytes: int) -> bytes:
    # One byte beyond the limit tells a body that is too large from one that
    # just fits, whatever its length was said to be.
    stream = environ["wsgi.input"]
    remaining = limit_bytes + 1 if length is None else length
    chunks = []
    while remaining > 0 and (chunk := stream.read(min(remaining, _CHUNK_BYTES))):
        chunks.append(chunk)
        remaining -= len(chunk)
    # The client's time is not the database's.
    begin_anew()
    if length is None and remaining == 0:
        raise _too_large(limit_bytes)
    if length is not None and remaining > 0:
        raise MalformedRequest("The body ended before its Content-Length.")
    return b"".join(chunks)


def _too_large(limit_bytes: int) -> PayloadTooLarge:
    return PayloadTooLarge(f"The body is larger than {limit_bytes} bytes.", limitBytes=limit_bytes)
