"""Connections to the face: whoever sends nothing, or slowly, keeps out nobody."""

import contextlib
import socket
import threading
from collections.abc import Callable, Iterator

import pytest
from flask import Flask

from executor.connections import MOST_CONNECTIONS, MOST_WAITING_REQUESTS
from executor.face import CannotListenError, Face
from tests.acceptance.waiting import eventually

PATIENCE_SECONDS = 30.0
NEVER = 3600.0
SOON = 0.5

REQUEST = b"GET /now HTTP/1.1\r\nHost: x\r\n\r\n"


class Peers:
    """Connections by hand; `let_go` ends the requests to `/later`."""

    def __init__(self) -> None:
        self.let_go = threading.Event()
        self.is_served = threading.Event()
        self._stack = contextlib.ExitStack()

    def start(self, request_seconds: float) -> None:
        app = Flask("face")
        app.add_url_rule("/now", view_func=lambda: "now")
        app.add_url_rule("/later", view_func=self._later)
        self.face = Face(app, "127.0.0.1", 0, request_seconds=request_seconds)
        self._stack.callback(self.face.close)
        self.face.start()

    def connect(self, sent: bytes = b"") -> socket.socket:
        port = int(self.face.url.rpartition(":")[2])
        peer = socket.create_connection(("127.0.0.1", port), timeout=PATIENCE_SECONDS)
        self._stack.callback(peer.close)
        peer.sendall(sent)
        return peer

    def close(self) -> None:
        self.let_go.set()
        self._stack.close()

    def _later(self) -> str:
        self.is_served.set()
        self.let_go.wait(PATIENCE_SECONDS)
        return "later"


@pytest.fixture
def start() -> Iterator[Callable[[float], Peers]]:
    peers = Peers()

    def start(request_seconds: float) -> Peers:
        peers.start(request_seconds)
        return peers

    yield start
    peers.close()


def is_served(peer: socket.socket) -> bool:
    """Whether it gets an answer, which is read as a whole."""
    answer = b""
    while not answer.endswith((b"\r\n\r\nnow", b"\r\n\r\nlater")):
        part = peer.recv(4096)
        if not part:
            return False
        answer += part
    return answer.startswith(b"HTTP/1.1 200 ")


def is_closed(peer: socket.socket) -> bool:
    """Whether it is closed, without waiting for it."""
    peer.setblocking(False)
    try:
        return peer.recv(4096) == b""
    except BlockingIOError:
        return False
    except OSError:
        return True


def test_silent_connections_make_room_for_those_who_send(start):
    peers = start(NEVER)
    silent = [peers.connect() for _ in range(3 * MOST_CONNECTIONS)]

    for _ in range(5):
        assert is_served(peers.connect(REQUEST))
    assert is_closed(silent[0])


def test_the_connection_that_waits_the_longest_makes_room_first(start):
    peers = start(NEVER)
    for _ in range(MOST_CONNECTIONS):
        peers.connect()
    halfway = peers.connect(REQUEST[:20])
    for _ in range(MOST_CONNECTIONS // 2):
        peers.connect()
    assert is_served(peers.connect(REQUEST))

    halfway.sendall(REQUEST[20:])

    assert is_served(halfway)


def test_a_connection_that_was_served_begins_to_wait_anew(start):
    peers = start(NEVER)
    old = peers.connect(REQUEST)
    assert is_served(old)
    for _ in range(MOST_CONNECTIONS - 2):
        peers.connect()
    # Connections are accepted in their order: all before this one are.
    assert is_served(peers.connect(REQUEST))
    old.sendall(REQUEST)
    assert is_served(old)
    for _ in range(MOST_CONNECTIONS // 2):
        peers.connect()
    assert is_served(peers.connect(REQUEST))

    old.sendall(REQUEST)

    assert is_served(old)


@pytest.mark.parametrize(
    "begun",
    [
        b"",
        b"GET /now HTTP/1.1\r\nX-Slow: ",
        b"POST /now HTTP/1.1\r\nHost: x\r\nContent-Length: 100000\r\n\r\n",
    ],
    ids=["silent", "header", "body"],
)
def test_who_sends_no_whole_request_in_time_is_closed(start, begun):
    peers = start(SOON)
    peer = peers.connect(begun)

    def drip_until_closed() -> bool:
        with contextlib.suppress(OSError):
            peer.send(b"x" if begun else b"")
        return is_closed(peer)

    eventually(drip_until_closed)


def test_a_connection_that_is_served_is_not_late(start):
    peers = start(SOON)
    served = peers.connect(b"GET /later HTTP/1.1\r\nHost: x\r\n\r\n")
    assert peers.is_served.wait(PATIENCE_SECONDS)
    silent = peers.connect()

    # It came later, and is late.
    eventually(lambda: is_closed(silent))
    peers.let_go.set()

    assert is_served(served)


def test_a_name_with_several_addresses_is_served_at_one():
    face = Face(Flask("face"), "localhost", 0)

    assert face.url.startswith("http://localhost:")
    face.start()
    face.close()


def test_a_host_that_is_none_is_named():
    with pytest.raises(CannotListenError, match="EXECUTOR_HTTP_HOST no host"):
        Face(Flask("face"), "no host", 0)


@pytest.mark.parametrize(("sent", "is_kept"), [(1 + MOST_WAITING_REQUESTS, True), (200, False)])
def test_whoever_awaits_no_answers_is_closed(start, sent, is_kept):
    peers = start(NEVER)
    busy = peers.connect(REQUEST.replace(b"/now", b"/later") + REQUEST * (sent - 1))

    if is_kept:
        assert peers.is_served.wait(PATIENCE_SECONDS)
        assert is_served(peers.connect(REQUEST))
        assert not is_closed(busy)
        busy.setblocking(True)
        peers.let_go.set()
        assert is_served(busy)
    else:
        eventually(lambda: is_closed(busy))
        assert is_served(peers.connect(REQUEST))


def test_a_face_that_is_closed_already_is_closed(start):
    peers = start(NEVER)
    connected = peers.connect()

    peers.face.close()
    peers.face.close()

    eventually(lambda: is_closed(connected))
