"""A door before a Postgres: it can be shut, answer by itself, or lose a COMMIT."""

from __future__ import annotations

import socket
import struct
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from socketserver import BaseRequestHandler, ThreadingTCPServer
from urllib.parse import urlsplit

from psycopg.conninfo import conninfo_to_dict

from orchestrator.dev.ports import LOOPBACK
from tests.ports import OwnPort

SSL_REQUEST = 80877103
GSS_REQUEST = 80877104
NO = b"N"
CHUNK_BYTES = 65_536


class Door:
    """
    Passes on what is said, byte by byte, until it is told otherwise.

    Args:
        upstream_url: Of the Postgres behind it.
    """

    def __init__(self, upstream_url: str) -> None:
        to = conninfo_to_dict(upstream_url)
        self._upstream = (str(to["host"]), int(to["port"]))
        self._port = OwnPort()
        self._address = (LOOPBACK, self._port.number)
        self._server: ThreadingTCPServer | None = None
        self._lock = threading.Lock()
        self._through: set[socket.socket] = set()
        self._refusal: bytes | None = None
        self._marks: tuple[bytes, ...] = ()
        self._commit_arrives = False
        self._passing = threading.Event()
        self._passing.set()
        self.lost_commits = 0

    def url(self, upstream_url: str) -> str:
        """The way to the same database through this door."""
        parts = urlsplit(upstream_url)
        login = parts.netloc.rpartition("@")[0]
        host, port = self._address
        return parts._replace(netloc=f"{login}@{host}:{port}").geturl()

    def open(self) -> None:
        """Let everyone in, always by the same port."""
        self._refusal = None
        if self._server is not None:
            return
        door = self

        class Guest(BaseRequestHandler):
            def handle(self) -> None:
                with suppress(OSError):
                    door._serve(self.request)

        class Server(ThreadingTCPServer):
            allow_reuse_address = True
            daemon_threads = True
            block_on_close = False
            request_queue_size = 128

        self._server = Server(self._address, Guest)
        threading.Thread(
            target=self._server.serve_forever, args=(0.01,), name="door", daemon=True
        ).start()

    def shut(self) -> None:
        """Let nobody in, as if nobody listened, and throw out who is inside."""
        self._passing.set()
        server, self._server = self._server, None
        if server is not None:
            server.shutdown()
            server.server_close()
        self.throw_out()

    def turn_away(self, sqlstate: str, words: str) -> None:
        """Refuse whoever comes from now on, as a server does, and throw out the rest."""
        fields = {b"S": "FATAL", b"V": "FATAL", b"C": sqlstate, b"M": words}
        body = b"".join(k + v.encode() + b"\0" for k, v in fields.items()) + b"\0"
        self._refusal = b"E" + struct.pack("!i", len(body) + 4) + body
        self.throw_out()

    def hang_up(self) -> None:
        """Close on whoever comes from now on without a word, and throw out the rest."""
        self._refusal = b""
        self.throw_out()

    def hold_back(self) -> None:
        """Pass nothing on in either direction, and close nothing, as a network that drops all."""
        self._passing.clear()

    def pass_on(self) -> None:
        """Pass on again, also what was held back."""
        self._passing.set()

    def throw_out(self) -> None:
        """Cut every connection that is through."""
        with self._lock:
            through = list(self._through)
        for each in through:
            with suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)

    def lose_commit(self, mark: str, *, arrives: bool) -> None:
        """
        Cut the next connection that speaks of this, when it says COMMIT.

        Args:
            mark: A word, or a UUID, which the driver may also write without its dashes.
            arrives: Whether the server hears it; its answer is lost then.
        """
        self._commit_arrives = arrives
        self._marks = (mark.encode(), mark.replace("-", "").encode())

    def _serve(self, guest: socket.socket) -> None:
        greeting = _startup(guest)
        if self._refusal is not None:
            guest.sendall(self._refusal)
            return
        self._passing.wait()
        with socket.create_connection(self._upstream) as host, self._counted(guest, host):
            host.sendall(greeting)
            lost = threading.Event()
            back = threading.Thread(
                target=_pump, args=(host, guest, lost, self._passing), daemon=True
            )
            back.start()
            self._listen(guest, host, lost)
            back.join()

    def _listen(self, guest: socket.socket, host: socket.socket, lost: threading.Event) -> None:
        """Pass on what the guest says, and hear whether it is what is to be lost."""
        marked = False
        with suppress(OSError):
            while said := guest.recv(CHUNK_BYTES):
                marked = marked or any(mark in said for mark in self._marks)
                if marked and b"COMMIT" in said:
                    self._marks = ()
                    self.lost_commits += 1
                    if not self._commit_arrives:
                        break
                    # The server's answer ends both, unheard.
                    lost.set()
                self._passing.wait()
                host.sendall(said)
                if lost.is_set():
                    return
        _hang_up(host, guest)

    @contextmanager
    def _counted(self, *both: socket.socket) -> Iterator[None]:
        with self._lock:
            self._through.update(both)
        try:
            yield
        finally:
            with self._lock:
                self._through.difference_update(both)


@contextmanager
def door_to(upstream_url: str) -> Iterator[Door]:
    """An open door, shut at the end."""
    door = Door(upstream_url)
    door.open()
    try:
        yield door
    finally:
        door.shut()


def _startup(guest: socket.socket) -> bytes:
    """The guest's startup message; encryption is declined before."""
    while True:
        head = _exactly(guest, 8)
        length, code = struct.unpack("!ii", head)
        if code not in (SSL_REQUEST, GSS_REQUEST):
            return head + _exactly(guest, length - len(head))
        guest.sendall(NO)


def _exactly(guest: socket.socket, count: int) -> bytes:
    read = b""
    while len(read) < count:
        chunk = guest.recv(count - len(read))
        if not chunk:
            raise ConnectionError("the guest has gone")
        read += chunk
    return read


def _pump(
    host: socket.socket, guest: socket.socket, lost: threading.Event, passing: threading.Event
) -> None:
    """Pass on what the server says, until it is to be lost or either has gone."""
    with suppress(OSError):
        while (said := host.recv(CHUNK_BYTES)) and not lost.is_set():
            passing.wait()
            guest.sendall(said)
    _hang_up(host, guest)


def _hang_up(*both: socket.socket) -> None:
    for each in both:
        with suppress(OSError):
            each.shutdown(socket.SHUT_RDWR)
