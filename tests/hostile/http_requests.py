"""What is no proper HTTP/1.1, or not the HTTP that is served: B58, B68, B69."""

from functools import partial
from typing import Final

from tests.contract.raw_http import RawAnswer, send_raw, until_closed
from tests.hostile.case import BELOW, MALFORMED_REQUEST, SERVED, Case
from tests.hostile.framing import only_answer
from tests.hostile.paths import METHOD_NOT_ALLOWED
from tests.hostile.place import CLIENT, Place

# What no answer may repeat.
MARK: Final = b"evil-marker"
SEVERAL: Final = (MALFORMED_REQUEST, *BELOW)


def _raw(place: Place, head: bytes) -> RawAnswer:
    token = place.tokens[CLIENT].encode()
    answer = send_raw(place.url, head.replace(b"<token>", token) + b"\r\n")
    assert MARK not in answer.body
    assert MARK not in str(answer.headers).encode()
    return answer


def _header(place: Place, line: bytes) -> RawAnswer:
    return _raw(
        place,
        b"GET /v1/whoami HTTP/1.1\r\nHost: dibs\r\nConnection: close\r\n"
        b"Authorization: Bearer <token>\r\n" + line + b"\r\n",
    )


def _not_reflected(place: Place, line: bytes) -> RawAnswer:
    answer = _header(place, line)
    assert "set-cookie" not in answer.headers
    return answer


def _connect(place: Place, target: str) -> RawAnswer:
    head = f"CONNECT {target} HTTP/1.1\r\nHost: {target}\r\nConnection: close\r\n\r\n".encode()
    return only_answer(until_closed(place.url, [head]))


def _upgrade(place: Place) -> RawAnswer:
    return _header(
        place,
        b"Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"
        b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nConnection: Upgrade\r\n",
    )


AUTHORIZATION: Final = b"Authorization: Bearer <token>\r\nConnection: close\r\n"

CASES: Final = (
    *(
        Case("B58", what, partial(_header, line=line), SEVERAL)
        for what, line in {
            "100 kB": b"X-Large: " + b"x" * 100_000 + b"\r\n",
            "a thousand": b"X-Many: y\r\n" * 1_000,
            "no value": b"X-Bare\r\n",
            "LF and CR": b"X-Evil: a\n\rX-Other: evil-marker\r\n",
            "bare CR": b"X-Request-Id: a\revil-marker\r\n",
            "NUL": b"X-Request-Id: a\0evil-marker\r\n",
            "folded": b"X-Request-Id: a\r\n evil-marker\r\n",
            "blank before the colon": b"X-Request-Id : evil-marker\r\n",
        }.items()
    ),
    # An LF alone ends a header's line too: it is another header, and not a part of the id.
    Case(
        "B58",
        "LF in a request id",
        partial(_not_reflected, line=b"X-Request-Id: a\nSet-Cookie: evil-marker\r\n"),
        (SERVED, *SEVERAL),
    ),
    *(
        Case(
            "B58",
            f"request id {what}",
            partial(_not_reflected, line=b"X-Request-Id: " + sent + b"\r\n"),
            (SERVED,),
        )
        for what, sent in {
            "long": b"evil-marker" * 30,
            "encoded CR and LF": b"evil-marker%0d%0aSet-Cookie: a",
            "no ASCII": b"evil-marker\xff",
            "markup": b"<script>evil-marker</script>",
        }.items()
    ),
    *(
        Case(
            "B68",
            what,
            partial(_raw, head=head),
            SEVERAL,
        )
        for what, head in {
            "HTTP/1.0": b"GET /v1/whoami HTTP/1.0\r\n" + AUTHORIZATION,
            "HTTP/1.0 with a Host": b"GET /v1/whoami HTTP/1.0\r\nHost: dibs\r\n" + AUTHORIZATION,
            "HTTP/0.9": b"GET /v1/whoami\r\n",
            "HTTP/2 preface": b"PRI * HTTP/2.0\r\n\r\nSM\r\n",
            "no Host": b"GET /v1/whoami HTTP/1.1\r\n" + AUTHORIZATION,
            "two Hosts": (
                b"GET /v1/whoami HTTP/1.1\r\nHost: dibs\r\nHost: evil-marker\r\n" + AUTHORIZATION
            ),
            "nonsense": b"nonsense\r\n",
            "bytes": bytes(range(1, 256)),
        }.items()
    ),
    # The server tells the path alone. It is all that counts: nothing depends on a host.
    *(
        Case("B68", what, partial(_raw, head=head), (SERVED, *SEVERAL))
        for what, head in {
            "another host's absolute URI": (
                b"GET http://evil-marker.example/v1/whoami HTTP/1.1\r\nHost: dibs\r\n"
                + AUTHORIZATION
            ),
            "a Host that is none": (
                b"GET /v1/whoami HTTP/1.1\r\nHost: a b/<evil-marker>\r\n" + AUTHORIZATION
            ),
        }.items()
    ),
    Case(
        "B69",
        "WebSocket",
        _upgrade,
        (METHOD_NOT_ALLOWED, *SEVERAL),
    ),
    Case(
        "B69",
        "TRACE",
        partial(
            _raw,
            head=b"TRACE /v1/runs HTTP/1.1\r\nHost: dibs\r\nX: evil-marker\r\n" + AUTHORIZATION,
        ),
        (METHOD_NOT_ALLOWED, *SEVERAL),
    ),
    *(
        Case(
            "B69",
            f"CONNECT {target}",
            partial(_connect, target=target),
            (METHOD_NOT_ALLOWED, *SEVERAL),
        )
        for target in ("evil.example:443", "127.0.0.1:5432")
    ),
)
