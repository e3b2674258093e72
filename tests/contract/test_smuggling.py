"""Requests that two programs may read differently: one effect at most, and never two answers."""

from typing import Any

import psycopg
import pytest

from orchestrator.lifecycle import Role
from tests.acceptance.stage import Stage
from tests.contract.raw_http import Ended, send_raw, until_closed

CLOSE = b"Connection: close\r\n"
HOST = b"Host: x\r\n"


class Smuggler:
    """Sends a create with another one behind it, and asks what became of the two."""

    def __init__(self, stage: Stage, owner: psycopg.Connection[Any], queue: str) -> None:
        self._url = stage.orchestrator.url
        self._token = stage.tokens[Role.CLIENT].encode()
        self._owner = owner
        self.body = b'{"workflow":"refund","queue":"%s"}' % queue.encode()
        self._queue = queue

    def head(self, framing: bytes, *, host: bytes = HOST, target: bytes = b"/v1/runs") -> bytes:
        return (
            b"POST %s HTTP/1.1\r\n%sAuthorization: Bearer %s\r\n"
            b"Content-Type: application/json\r\n%s\r\n" % (target, host, self._token, framing)
        )

    def whole(self, *, close: bool = False) -> bytes:
        """A create that is as it should be."""
        framing = b"Content-Length: %d\r\n" % len(self.body)
        return self.head(framing + (CLOSE if close else b"")) + self.body

    def chunked(self, body: bytes | None = None) -> bytes:
        body = self.body if body is None else body
        return b"%x\r\n%s\r\n0\r\n\r\n" % (len(body), body)

    def send(self, request: bytes) -> Ended:
        """Send this with a whole create behind it."""
        return until_closed(self._url, [request + self.whole(close=True)])

    def created(self) -> int:
        """How many runs there are by now."""
        found = self._owner.execute(
            'SELECT count(*) FROM "workflowRuns" WHERE queue = %s', [self._queue]
        ).fetchone()
        assert found is not None
        return int(found[0])


@pytest.fixture
def smuggler(stage: Stage, owner: psycopg.Connection[Any], queue: str) -> Smuggler:
    return Smuggler(stage, owner, queue)


def check_malformed(ended: Ended) -> None:
    """One refusal: the server's own, which has no body, or a problem document."""
    assert ended.status == 400
    assert ended.answers[0].code in (None, "malformed-request")


@pytest.mark.parametrize(
    "framing",
    [
        b"Transfer-Encoding: identity, chunked\r\n",
        b"Transfer-Encoding: gzip, chunked\r\n",
        b"Transfer-Encoding: identity\r\nTransfer-Encoding: chunked\r\n",
        b"Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n",
        b"Transfer-Encoding: chunked, identity\r\n",
        b"Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n",
        b"Transfer-Encoding: xchunked\r\n",
        b"Transfer-Encoding: identity\r\n",
        b"Transfer-Encoding: \x0bchunked\r\n",
        b"Transfer-Encoding : chunked\r\n",
        b"Content-Length : 4\r\n",
        b"X-Folded: a\r\n Content-Length: 4\r\n",
        b"Content-Length: 4\r\nContent-Length: 5\r\n",
        b"Content-Length: 4, 4\r\n",
        b"Content-Length: +4\r\n",
        b"Content-Length: 0x4\r\n",
        b"Content-Length: -1\r\n",
        b"Content-Length: 18446744073709551616\r\n",
    ],
)
def test_a_body_whose_end_is_said_in_two_ways_or_in_none_is_malformed(
    smuggler: Smuggler, framing: bytes
) -> None:
    ended = smuggler.send(smuggler.head(framing) + smuggler.chunked())

    check_malformed(ended)
    assert smuggler.created() == 0


@pytest.mark.parametrize(
    "framing",
    [
        b"Transfer-Encoding: chunked\r\n",
        b"Transfer-Encoding: Chunked\r\n",
        # The server drops the length, wherever it stands: all that tells is the close.
        b"Transfer-Encoding: chunked\r\nContent-Length: 4\r\n",
        b"Content-Length: 4\r\nTransfer-Encoding: chunked\r\n",
    ],
)
def test_nothing_behind_a_chunked_body_is_read(smuggler: Smuggler, framing: bytes) -> None:
    ended = smuggler.send(smuggler.head(framing) + smuggler.chunked())

    assert ended.status == 201
    assert ended.answers[0].headers["connection"] == "close"
    assert smuggler.created() == 1


@pytest.mark.parametrize(
    "chunk", [b"5x\r\n", b"fffffffffffffffff\r\n", b"-1\r\n", b"5\n", b";\r\n"]
)
def test_nothing_behind_a_chunk_that_is_none_is_read(smuggler: Smuggler, chunk: bytes) -> None:
    ended = smuggler.send(smuggler.head(b"Transfer-Encoding: chunked\r\n") + chunk + b"hello\r\n")

    assert ended.status in (0, 400)
    assert smuggler.created() == 0


def test_a_chunked_body_of_a_request_that_has_none_ends_its_connection(
    smuggler: Smuggler, stage: Stage
) -> None:
    ended = smuggler.send(
        b"GET /healthz HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"
        + smuggler.chunked(smuggler.whole())
    )

    assert ended.status == 200
    assert smuggler.created() == 0


def test_a_request_within_the_body_of_another_is_none(smuggler: Smuggler) -> None:
    inner = smuggler.whole()
    outer = b"GET /healthz HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n" % len(inner)

    ended = smuggler.send(outer + inner)

    # The one behind the body is a request, and the one in it is not.
    assert [answer.status for answer in ended.answers] == [200, 201]
    assert smuggler.created() == 1


def test_headers_that_only_look_like_a_length_are_none(smuggler: Smuggler) -> None:
    ended = smuggler.send(
        smuggler.head(b"Content_Length: 5\r\nTransfer_Encoding: chunked\r\n" + CLOSE)
    )

    assert ended.status == 400
    assert ended.answers[0].code == "malformed-json"
    assert smuggler.created() == 0


@pytest.mark.parametrize(
    "head",
    [
        b"GET /v1/whoami HTTP/1.1\r\nHost: x\r\nHost: y\r\n",
        b"GET /v1/whoami HTTP/1.1\r\nHost: x\r\nHost: x\r\n",
        b"GET /v1/whoami HTTP/1.1\r\nHost: x,y\r\n",
        b"GET /v1/whoami HTTP/1.1\r\nHost:\r\n",
        b"GET /v1/whoami HTTP/1.1\r\n",
        b"GET /v1/whoami HTTP/1.0\r\nHost: x\r\n",
        b"GET /v1/whoami HTTP/1.0\r\n",
        b"CONNECT other.example:443 HTTP/1.1\r\nHost: other.example:443\r\n",
        b"get /v1/whoami HTTP/1.1\r\nHost: x\r\n",
        b"OPTIONS * HTTP/1.1\r\nHost: x\r\n",
    ],
)
def test_what_is_addressed_to_nobody_or_to_two_is_malformed(stage: Stage, head: bytes) -> None:
    token = stage.tokens[Role.VIEWER].encode()
    answer = send_raw(
        stage.orchestrator.url, head + CLOSE + b"Authorization: Bearer %s\r\n\r\n" % token
    )

    assert (answer.status, answer.code) == (400, "malformed-request")


@pytest.mark.parametrize(
    "head",
    [
        b"GET /v1/whoami HTTP/1.2\r\nHost: x\r\n",
        b"GET /v1/whoami HTTP/2.0\r\nHost: x\r\n",
        b"GET /v1/whoami\r\nHost: x\r\n",
        b"GET  /v1/whoami HTTP/1.1\r\nHost: x\r\n",
        b"GET /v1/who ami HTTP/1.1\r\nHost: x\r\n",
        b"GET /v1/whoami HTTP/1.1\r\nHost : x\r\n",
        b"GET /v1/whoami HTTP/1.1\r\nHost: x\r\nX-Folded: a\r\n b\r\n",
        b"GET /v1/whoami HTTP/1.1\r\nHost: x\r\nX-Request-Id: a\rb\r\n",
        b"GET /v1/whoami HTTP/1.1\r\nHost: x\r\nX-Request-Id: a\0b\r\n",
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n",
    ],
)
def test_what_the_server_cannot_read_it_refuses_by_itself(stage: Stage, head: bytes) -> None:
    ended = until_closed(stage.orchestrator.url, [head + b"\r\n"])

    assert ended.status in (0, 400)
    assert not ended.answers or ended.answers[0].body == b""


def test_a_line_feed_in_a_value_begins_another_header_and_comes_back_in_none(
    stage: Stage,
) -> None:
    answer = send_raw(
        stage.orchestrator.url,
        b"GET /healthz HTTP/1.1\r\nHost: x\r\nX-Request-Id: mine\nSet-Cookie: evil=1\r\n"
        b"Connection: close\r\n\r\n",
    )

    assert (answer.status, answer.headers["x-request-id"]) == (200, "mine")
    assert "set-cookie" not in answer.headers


def test_an_absolute_target_is_served_by_its_path_whatever_host_it_names(stage: Stage) -> None:
    # The server keeps the path alone. No answer depends on a host, so none can be poisoned.
    token = stage.tokens[Role.VIEWER].encode()
    answer = send_raw(
        stage.orchestrator.url,
        b"GET http://other.example/v1/whoami HTTP/1.1\r\nHost: x\r\nConnection: close\r\n"
        b"Authorization: Bearer %s\r\n\r\n" % token,
    )

    assert answer.status == 200
    assert b"other.example" not in answer.body


@pytest.mark.parametrize("upgrade", [b"websocket", b"h2c"])
def test_no_connection_becomes_another_protocol(stage: Stage, upgrade: bytes) -> None:
    token = stage.tokens[Role.VIEWER].encode()
    answer = send_raw(
        stage.orchestrator.url,
        b"GET /v1/whoami HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: %s\r\n"
        b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n"
        b"Authorization: Bearer %s\r\n\r\n" % (upgrade, token),
    )

    assert answer.status in (200, 400)
    assert answer.headers["content-type"].startswith("application/")


@pytest.mark.parametrize("method", ["TRACE", "CONNECT", "PROPFIND"])
def test_a_method_that_is_none_of_ours_is_405_and_nothing_comes_back(
    stage: Stage, method: str
) -> None:
    answer = send_raw(
        stage.orchestrator.url,
        f"{method} /v1/whoami HTTP/1.1\r\nHost: x\r\nX-Secret: canary\r\n"
        "Connection: close\r\n\r\n".encode(),
    )

    assert (answer.status, answer.code) == (405, "method-not-allowed")
    assert answer.headers["allow"] == "GET, HEAD"
    assert b"canary" not in answer.body
