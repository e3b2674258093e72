"""How a body is sent: B23 to B29."""

import gzip
from functools import partial
from itertools import repeat
from typing import Final

from tests.contract.raw_http import Ended, RawAnswer, send_raw, until_closed
from tests.hostile.case import (
    BELOW,
    MALFORMED_JSON,
    MALFORMED_REQUEST,
    SERVED,
    TOO_LARGE,
    Case,
    Told,
)
from tests.hostile.place import CLIENT, EXECUTOR, JSON, Headers, Place, a_queue

KIB: Final = 1024
GIB: Final = 1024**3
# What the kernel's buffers of both sides may hold of what nobody reads.
UNREAD_BYTES: Final = 32 * KIB**2
STALLS_SECONDS: Final = 15.0

MEDIA_TYPE: Final[Told] = (415, "unsupported-media-type")
ENCODING: Final[Told] = (415, "unsupported-encoding")
CREATED: Final[Told] = (201, None)
TIMED_OUT: Final[Told] = (408, "request-timeout")

GOOD: Final = b'{"workflow": "refund"}'
# Twice what any route takes, if somebody unpacks it.
BOMB: Final = gzip.compress(bytes(16 * KIB**2))


def _said_too_long(place: Place, path: str, size: int, by: str) -> RawAnswer:
    # Nothing of it is sent: who is answered now was answered before it was read.
    headers = {**JSON, "Content-Length": str(size)}
    return place.send("POST", path, by=by, headers=headers)


def _sent_too_long(place: Place) -> RawAnswer:
    body = b'{"workflow":"refund","input":"%s"}' % (b"x" * (256 * KIB))
    return place.send("POST", "/v1/runs", body, headers=JSON)


def _gigabyte(place: Place) -> RawAnswer:
    chunk = b"10000\r\n" + b" " * 0x10000 + b"\r\n"
    head = place.request("POST", "/v1/runs", headers={**JSON, "Transfer-Encoding": "chunked"})
    ended = until_closed(place.url, [head, *repeat(chunk, GIB // 0x10000)])
    assert ended.sent_bytes < UNREAD_BYTES
    return only_answer(ended)


def _stalled(place: Place) -> RawAnswer:
    head = place.request("POST", "/v1/runs", headers={**JSON, "Content-Length": "1000"})
    ended = until_closed(place.url, [head, GOOD])
    assert ended.seconds <= STALLS_SECONDS
    return only_answer(ended)


def _within_another(place: Place, framing: bytes, body: bytes) -> RawAnswer:
    """Send a create that may be read as two; the second would create in another queue."""
    outer, inner = a_queue(), a_queue()
    ended = until_closed(place.url, [_smuggled(place, framing, body, outer, inner)])
    assert place.runs_of(inner) == []
    assert len(place.runs_of(outer)) == (ended.status == CREATED[0])
    return only_answer(ended)


def only_answer(ended: Ended) -> RawAnswer:
    """The answer that came before the connection was closed; status 0 for none."""
    assert len(ended.answers) <= 1
    return ended.answers[0] if ended.answers else RawAnswer(0, {}, b"")


def _smuggled(place: Place, framing: bytes, body: bytes, outer: str, inner: str) -> bytes:
    def create(queue: str) -> bytes:
        return b'{"workflow":"refund","queue":"%s"}' % queue.encode()

    second = place.request("POST", "/v1/runs", create(inner), headers=JSON)
    first = create(outer)
    head = (
        b"POST /v1/runs HTTP/1.1\r\nHost: dibs\r\nAuthorization: Bearer %s\r\n"
        b"Content-Type: application/json\r\n" % place.tokens[CLIENT].encode()
    )
    lengths = {b"first": len(first), b"both": len(first) + len(second)}
    bodies = {b"plain": first, b"chunks": _chunked(first)}
    return head + framing % lengths + b"\r\n" + body % bodies + second


def _chunked(body: bytes) -> bytes:
    return b"%x\r\n%s\r\n0\r\n\r\n" % (len(body), body)


def _contradictory(place: Place, framing: bytes) -> RawAnswer:
    queue = a_queue()
    body = b'{"workflow":"refund","queue":"%s"}' % queue.encode()
    answer = send_raw(
        place.url,
        b"POST /v1/runs HTTP/1.1\r\nHost: dibs\r\nConnection: close\r\n"
        b"Authorization: Bearer %s\r\nContent-Type: application/json\r\n%s\r\n%s"
        % (place.tokens[CLIENT].encode(), framing % {b"length": len(body)}, body),
    )
    assert place.runs_of(queue) == []
    return answer


def _with(place: Place, headers: Headers, body: bytes = GOOD) -> RawAnswer:
    return place.send("POST", "/v1/runs", body, headers=headers)


def _accepting(place: Place, accept: str) -> RawAnswer:
    answer = place.send("GET", "/v1/runs", headers={"Accept": accept})
    assert answer.headers["content-type"] == "application/json"
    return answer


UNCLEAR: Final = (MALFORMED_REQUEST, *BELOW)

# Each is read as two requests by somebody who believes the other of two lengths. Of one beside
# chunks the application is not told: the chunks count, it is one request, and the last one of
# its connection, as RFC 9112 (6.3) has it.
SMUGGLING: Final[dict[str, tuple[bytes, bytes, tuple[Told, ...]]]] = {
    "length, then chunked": (
        b"Content-Length: %(both)d\r\nTransfer-Encoding: chunked\r\n",
        b"%(chunks)b",
        (CREATED, *UNCLEAR),
    ),
    "chunked, then length": (
        b"Transfer-Encoding: chunked\r\nContent-Length: %(both)d\r\n",
        b"%(chunks)b",
        (CREATED, *UNCLEAR),
    ),
    "two lengths": (
        b"Content-Length: %(first)d\r\nContent-Length: %(both)d\r\n",
        b"%(plain)b",
        UNCLEAR,
    ),
    "two lengths in one": (b"Content-Length: %(first)d, %(both)d\r\n", b"%(plain)b", UNCLEAR),
}

CASES: Final = (
    *(
        Case(
            "B23",
            path,
            partial(_said_too_long, path=path, size=cap + 1, by=by),
            (TOO_LARGE,),
        )
        for path, cap, by in (
            ("/v1/runs", 256 * KIB, CLIENT),
            ("/v1/claims", 256 * KIB, EXECUTOR),
            ("/v1/leases/renew", 512 * KIB, EXECUTOR),
            ("/v1/reports", 8 * KIB**2, EXECUTOR),
            ("/v1/runs/batch", 8 * KIB**2, CLIENT),
        )
    ),
    Case("B23", "and sent", _sent_too_long, (TOO_LARGE,)),
    Case("B24", "a gigabyte", _gigabyte, (TOO_LARGE,)),
    Case(
        "B25",
        "a stall",
        _stalled,
        (TIMED_OUT, (0, None)),
        is_slow=True,
    ),
    *(
        Case(
            "B26",
            what,
            partial(_within_another, framing=framing, body=body),
            gets,
            writes=CREATED in gets,
        )
        for what, (framing, body, gets) in SMUGGLING.items()
    ),
    *(
        Case(
            "B26",
            what,
            partial(_contradictory, framing=framing),
            (MALFORMED_JSON, *UNCLEAR),
        )
        for what, framing in {
            "chunked that is none": b"Content-Length: %(length)d\r\nTransfer-Encoding: chunked\r\n",
            "another length before": b"Content-Length: %(length)d\r\nContent-Length: 5\r\n",
            "below zero": b"Content-Length: -1\r\n",
            "with a sign": b"Content-Length: +%(length)d\r\n",
            "no number": b"Content-Length: 6x\r\n",
            "unknown coding": b"Transfer-Encoding: xchunked\r\n",
        }.items()
    ),
    *(
        Case(
            "B27",
            coding,
            partial(_with, headers={**JSON, "Content-Encoding": coding}, body=bomb),
            (ENCODING,),
        )
        for coding, bomb in (("gzip", BOMB), ("deflate", BOMB), ("br", GOOD))
    ),
    *(
        Case("B28", what, partial(_with, headers=headers), (MEDIA_TYPE,))
        for what, headers in {
            "text": {"Content-Type": "text/plain"},
            "none": {},
            "form": {"Content-Type": "application/x-www-form-urlencoded"},
            "another charset": {"Content-Type": "application/json; charset=utf-16"},
        }.items()
    ),
    # JSON anyway: there is nothing else, and a 406 would have to say so in JSON too.
    *(
        Case("B29", accept, partial(_accepting, accept=accept), (SERVED,))
        for accept in ("application/xml", "text/html", "application/json;q=0")
    ),
)
