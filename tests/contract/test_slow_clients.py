"""Clients that take their time: each is cut off, and nobody else waits for it."""

import socket
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing, contextmanager, suppress
from itertools import chain, repeat
from pathlib import Path
from select import select
from typing import Any
from urllib.parse import urlsplit

import psycopg
import pytest

from orchestrator.api.slow_bodies import BODY_WITHIN_SECONDS
from orchestrator.lifecycle import Role
from orchestrator.server import HEADERS_WITHIN_MS
from orchestrator.store.patience import PATIENCE_SECONDS
from orchestrator.worker import UNREAD_WITHIN_MS
from tests.acceptance.client import Client
from tests.acceptance.processes import Orchestrator
from tests.acceptance.stage import Stage
from tests.acceptance.waiting import eventually
from tests.contract.raw_http import Ended, until_closed

# After a request's headers, whatever its body does.
PROMISED_SECONDS = 15.0
MIB = 1024 * 1024
RUN = b'{"workflow":"refund","queue":"slow"}'
SURE = b'{"workflow":"refund","queue":"slow-but-sure"}'


def head(stage: Stage, framing: bytes, path: bytes = b"/v1/runs") -> bytes:
    return (
        b"POST %s HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer %s\r\n"
        b"Content-Type: application/json\r\n%s\r\n"
        % (path, stage.tokens[Role.CLIENT].encode(), framing)
    )


# Of whoever comes: the only route that reads a body before it knows who sends it.
SIGN_IN = (
    b"POST /ui/sign-in HTTP/1.1\r\nHost: x\r\nSec-Fetch-Site: same-origin\r\n"
    b"Content-Type: application/x-www-form-urlencoded\r\nContent-Length: 100\r\n\r\ntok"
)


def length(size: int) -> bytes:
    return b"Content-Length: %d\r\n" % size


EXPECTING = length(100) + b"Expect: 100-continue\r\n"
CHUNKED = b"Transfer-Encoding: chunked\r\n"


@pytest.fixture(scope="module")
def slow(stage: Stage) -> dict[str, Ended]:
    """Slow clients of every kind, all at the same time, and how each of them ended."""
    url = stage.orchestrator.url
    whole_chunk = b"%x\r\n%s\r\n" % (len(RUN), RUN)
    asked = b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n"

    def trickle(first: bytes, rest: bytes) -> Ended:
        return until_closed(url, chain([first], repeat(rest, 1000)), pause_seconds=0.1)

    clients: dict[str, Callable[[], Ended]] = {
        "nothing": lambda: until_closed(url, [head(stage, length(100))]),
        "a part": lambda: until_closed(url, [head(stage, length(100)), RUN]),
        "a part of much": lambda: until_closed(
            url, [head(stage, length(8 * MIB), b"/v1/runs/batch"), b" " * MIB]
        ),
        "no last chunk": lambda: until_closed(url, [head(stage, CHUNKED), whole_chunk]),
        "byte by byte": lambda: trickle(head(stage, length(1000)), b" "),
        "chunk by chunk": lambda: trickle(head(stage, CHUNKED), b"1\r\n \r\n"),
        "slow but sure": lambda: until_closed(
            url,
            [head(stage, length(len(SURE)) + b"Connection: close\r\n"), *SURE.partition(b",")],
            pause_seconds=BODY_WITHIN_SECONDS / 5,
        ),
        "sign-in": lambda: until_closed(url, [SIGN_IN]),
        "silent": lambda: until_closed(url, []),
        "idle": lambda: until_closed(url, [asked]),
        "trickling head": lambda: trickle(asked[:-2], b"X: y\r\n"),
        "greedy": lambda: leave_unread(url),
    }
    with ThreadPoolExecutor(len(clients)) as threads:
        begun = {name: threads.submit(send) for name, send in clients.items()}
        return {name: one.result() for name, one in begun.items()}


def leave_unread(url: str) -> Ended:
    """Ask for much, and read nothing of it."""
    host, port = urlsplit(url).netloc.split(":")
    asked = b"GET /openapi.json HTTP/1.1\r\nHost: x\r\n\r\n" * 100
    began_at, sent_bytes = time.monotonic(), 0
    with socket.socket() as greedy:
        greedy.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        greedy.connect((host, int(port)))
        greedy.settimeout(UNREAD_WITHIN_MS / 1000 * 2)
        with suppress(ConnectionError):
            # Until the server takes no more of it, and then until it has had enough.
            while True:
                greedy.sendall(asked)
                sent_bytes += len(asked)
    return Ended([], sent_bytes, time.monotonic() - began_at)


@pytest.mark.parametrize("name", ["nothing", "a part", "a part of much", "no last chunk"])
def test_a_body_that_stalls_is_told_so_and_its_connection_closed(
    slow: dict[str, Ended], name: str
) -> None:
    ended = slow[name]

    assert ended.status == 408
    assert BODY_WITHIN_SECONDS <= ended.seconds < PROMISED_SECONDS
    (answer,) = ended.answers
    assert answer.code == "request-timeout"
    assert answer.headers["connection"] == "close"
    assert answer.headers["x-request-id"].encode() in answer.body


def test_a_stranger_has_no_time_for_a_form(slow: dict[str, Ended]) -> None:
    assert slow["sign-in"].status == 408
    assert slow["sign-in"].seconds < BODY_WITHIN_SECONDS / 2


@pytest.mark.parametrize("name", ["byte by byte", "chunk by chunk"])
def test_a_body_that_trickles_is_cut_off_at_the_same_time(
    slow: dict[str, Ended], name: str
) -> None:
    # It goes on sending when the connection is closed, so the answer may not reach it.
    assert slow[name].status in (0, 408)
    assert BODY_WITHIN_SECONDS <= slow[name].seconds < PROMISED_SECONDS


def test_a_body_that_is_cut_off_has_no_effect(
    slow: dict[str, Ended], owner: psycopg.Connection[Any]
) -> None:
    assert slow["no last chunk"].sent_bytes > len(RUN)
    created = owner.execute("""SELECT count(*) FROM "workflowRuns" WHERE queue = 'slow'""")

    assert created.fetchone() == (0,)


def test_a_body_that_takes_less_than_it_may_is_taken(slow: dict[str, Ended]) -> None:
    assert slow["slow but sure"].seconds > PATIENCE_SECONDS
    assert slow["slow but sure"].status == 201


def test_who_was_cut_off_is_in_the_log(stage: Stage, slow: dict[str, Ended]) -> None:
    told = {
        answer.headers["x-request-id"]: name
        for name, ended in slow.items()
        for answer in ended.answers
        if answer.status == 408
    }
    refused = {
        one["request_id"]: one
        for one in stage.orchestrator.said("request_refused")
        if one["code"] == "request-timeout"
    }

    assert told.keys() <= refused.keys()
    assert {refused[one].get("actor") for one, name in told.items() if name != "sign-in"} == {
        Role.CLIENT.value
    }
    assert stage.orchestrator.said("request_failed") == []


@pytest.mark.parametrize(("name", "status"), [("silent", 0), ("idle", 200), ("trickling head", 0)])
def test_what_nobody_asks_on_and_heads_that_trickle_are_closed(
    slow: dict[str, Ended], name: str, status: int
) -> None:
    assert slow[name].status == status
    assert HEADERS_WITHIN_MS / 1000 - 1 <= slow[name].seconds < PROMISED_SECONDS


def test_who_leaves_his_answers_unread_is_disconnected(slow: dict[str, Ended]) -> None:
    assert slow["greedy"].sent_bytes > 0
    assert slow["greedy"].seconds >= UNREAD_WITHIN_MS / 1000


@contextmanager
def serving(
    stage: Stage, directory: Path, **variables: str
) -> Iterator[tuple[Orchestrator, Client]]:
    """An orchestrator with settings of its own, and a client of it."""
    one = Orchestrator("of-its-own", stage.database.service_url, directory, **variables)
    try:
        one.start()
        with closing(Client(one.url, stage.tokens[Role.CLIENT])) as client:
            yield one, client
    finally:
        one.end()


@contextmanager
def stalled(one: Orchestrator, stage: Stage, count: int) -> Iterator[list[socket.socket]]:
    """Connections on which a body does not come; they are told when it is waited for."""
    host, port = urlsplit(one.url).netloc.split(":")
    with ExitStack() as opened:
        connections = []
        for _ in range(count):
            connection = opened.enter_context(socket.create_connection((host, int(port)), 60))
            connection.sendall(head(stage, EXPECTING))
            connections.append(connection)
        yield connections


@pytest.mark.fault("F29")
def test_slow_bodies_never_hold_all_threads(stage: Stage, tmp_path: Path) -> None:
    with (
        serving(stage, tmp_path, DIBS_THREADS="8", DIBS_PARKED_CLAIMS="4") as (one, client),
        stalled(one, stage, 8) as connections,
    ):
        eventually(lambda: len(select(connections, [], [], 0)[0]) == 8, what="all threads wait")
        began_at = time.monotonic()
        client.create("beside-slow-ones")

        # Each would have its ten seconds if there were threads enough.
        assert time.monotonic() - began_at < BODY_WITHIN_SECONDS * 0.8


@pytest.mark.fault("F29")
def test_hundreds_of_stalled_bodies_leave_nothing_behind(stage: Stage, tmp_path: Path) -> None:
    with serving(stage, tmp_path, DIBS_WORKERS="2") as (one, client):
        client.create("before-slow-ones")
        open_before = open_files(one)
        with stalled(one, stage, 500) as connections:
            began_at = time.monotonic()
            while time.monotonic() - began_at < BODY_WITHIN_SECONDS:
                asked_at = time.monotonic()
                client.create("beside-slow-ones")
                assert time.monotonic() - asked_at < BODY_WITHIN_SECONDS / 2
            told = [last_status(connection) for connection in connections]

        assert time.monotonic() - began_at < 2 * PROMISED_SECONDS
        # A process that has never seen the token looks it up, for so many at once not for all.
        assert {one for one in told if one not in (408, 503)} == set()
        assert told.count(408) > len(told) / 2
        eventually(lambda: open_files(one) <= open_before + 50, what="the connections are gone")
        assert one.said("request_failed") == []


def last_status(connection: socket.socket) -> int:
    """The status of the last answer on a connection, which is closed after it."""
    received = b"".join(iter(lambda: connection.recv(65536), b""))
    return int(received.rpartition(b"HTTP/1.1 ")[2][:3] or 0)


def open_files(one: Orchestrator) -> int:
    """How many descriptors the workers of an orchestrator have open."""
    pid = one.process.pid
    workers = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    return sum(len(list(Path(f"/proc/{worker}/fd").iterdir())) for worker in workers)


def test_a_slow_body_does_not_keep_a_server_from_ending(stage: Stage, tmp_path: Path) -> None:
    with serving(stage, tmp_path) as (one, _):
        ended = []

        def pieces() -> Iterator[bytes]:
            yield head(stage, EXPECTING)
            one.ask_to_end()
            ended.append(one.wait_for_exit(BODY_WITHIN_SECONDS * 0.8))

        told = until_closed(one.url, pieces())

    assert ended == [0]
    assert [answer.status for answer in told.answers] == [100, 408]


@pytest.mark.fault("F58")
def test_an_endless_body_is_not_read_to_its_end(stage: Stage) -> None:
    chunk = b"%x\r\n%s\r\n" % (MIB, b" " * MIB)
    ended = until_closed(stage.orchestrator.url, chain([head(stage, CHUNKED)], repeat(chunk, 1024)))

    assert ended.status in (0, 413)
    # What the machine's buffers hold is taken without anybody reading it.
    assert ended.sent_bytes < 64 * MIB
    assert ended.seconds < BODY_WITHIN_SECONDS
