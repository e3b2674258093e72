"""How a server ends: in order, with its workers, and never beside another one."""

import os
import signal
import socket
import subprocess
import sys
import time
from contextlib import ExitStack
from pathlib import Path

import httpx2
import pytest

from orchestrator.server import ListenError, serve
from orchestrator.settings import load
from tests.ports import OwnPort

# A busy machine takes its time.
PATIENCE_SECONDS = 60


@pytest.fixture
def own_port():
    return OwnPort()


@pytest.fixture
def port(own_port):
    return own_port.number


@pytest.fixture
def starting(port):
    """A server of two workers; its database is away, and that is no reason not to start."""
    environment = {
        **os.environ,
        "DATABASE_URL": "postgresql://nobody@127.0.0.1:1/none",
        "DIBS_SECRET_KEY": "k" * 32,
        "DIBS_PORT": str(port),
        "DIBS_WORKERS": "2",
        "DIBS_THREADS": "4",
    }
    process = subprocess.Popen([sys.executable, "-m", "orchestrator", "serve"], env=environment)
    try:
        until(lambda: len(children(process.pid)) == 2)
        yield process
    finally:
        process.terminate()
        process.wait(PATIENCE_SECONDS)


@pytest.fixture
def server(starting, port):
    """The same, when it answers."""
    until(lambda: answers(f"http://127.0.0.1:{port}"))
    return starting


def answers(url):
    try:
        return httpx2.get(f"{url}/healthz").status_code == 200
    except httpx2.TransportError:
        return False


def children(pid):
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def is_running(pid):
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def until(seen, within_seconds=PATIENCE_SECONDS):
    deadline = time.monotonic() + within_seconds
    while not seen():
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.05)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_server_that_is_told_to_end_exits_with_0(server, number):
    workers = children(server.pid)
    server.send_signal(number)

    assert server.wait(PATIENCE_SECONDS) == 0
    assert [pid for pid in workers if is_running(pid)] == []


def test_workers_end_when_their_server_was_killed(server):
    workers = children(server.pid)
    server.kill()

    until(lambda: not any(is_running(pid) for pid in workers))


def test_workers_that_only_begin_end_when_their_server_was_killed(starting):
    workers = children(starting.pid)
    starting.kill()

    until(lambda: not any(is_running(pid) for pid in workers))


def test_connections_on_which_nothing_is_asked_keep_nobody_out(server, port):
    def is_answered(connection):
        connection.sendall(b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n")
        answer = b""
        while chunk := connection.recv(1_000):
            answer += chunk
            if answer.endswith(b'{"status":"ok"}'):
                return True
        return False

    with ExitStack() as opened:
        connections = [
            opened.enter_context(socket.create_connection(("127.0.0.1", port), 20))
            for _ in range(40)
        ]

        assert all(is_answered(connection) for connection in connections)
        assert is_answered(connections[0])


def test_a_server_takes_its_secrets_out_of_the_environment(server, port, monkeypatch):
    environment = {
        "DATABASE_URL": "postgresql://nobody:secret@127.0.0.1:1/none",
        "DIBS_SECRET_KEY": "k" * 32,
    }
    for name, value in environment.items():
        monkeypatch.setenv(name, value)

    with pytest.raises(ListenError):
        serve(load(port=port))
    assert environment.keys().isdisjoint(os.environ)


def test_a_second_server_does_not_share_the_port(server, port):
    settings = load(
        {"DATABASE_URL": "postgresql://nobody@127.0.0.1:1/none", "DIBS_SECRET_KEY": "k" * 32},
        port=port,
    )

    with pytest.raises(ListenError, match=f"127.0.0.1:{port}"):
        serve(settings)
    assert server.poll() is None
