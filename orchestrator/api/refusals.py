"""What the edge refuses before any rule about runs is asked."""

from __future__ import annotations

from orchestrator.errors import DibsError, Invalid, Unprocessable


class MalformedRequest(Invalid):
    """The request is not proper HTTP/1.1."""

    code = "malformed-request"


class RequestTimeout(DibsError):
    """The request did not arrive in time."""

    code = "request-timeout"


class MalformedJson(Invalid):
    """The body is not JSON."""

    code = "malformed-json"


class JsonTooComplex(Invalid):
    """The JSON is too deep or has too many members."""

    code = "json-too-complex"


class JsonNumberOutOfRange(Invalid):
    """A number cannot be kept as it is."""

    code = "json-number-out-of-range"


class UnsupportedCharacter(Unprocessable):
    """A string holds NUL or half of a surrogate pair."""

    code = "unsupported-character"


class PayloadTooLarge(DibsError):
    """The body is larger than this route takes."""

    code = "payload-too-large"


class UnsupportedMediaType(DibsError):
    """The body must be application/json."""

    code = "unsupported-media-type"


class UnsupportedEncoding(DibsError):
    """Compressed bodies are not read."""

    code = "unsupported-encoding"


class MethodNotAllowed(DibsError):
    """This path does not know the method."""

    code = "method-not-allowed"


class InternalError(DibsError):
    """Something is wrong with the service."""

    code = "internal-error"
