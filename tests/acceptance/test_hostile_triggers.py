"""
Hostile input to an executor's trigger endpoint, over a socket, while a good caller triggers.

The rows are those of the list that the orchestrator is held to, as far as they
can reach an executor: a refusal of a known status, in JSON, and no 500.
"""

import contextlib
import gzip
import secrets
import socket
import threading
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass, field
from urllib.parse import urlsplit

import orjson
import pytest

from orchestrator.lifecycle import Role
from tests.acceptance.client import Client
from tests.acceptance.processes import Executor
from tests.acceptance.stage import Fleet, Stage
from tests.acceptance.waiting import eventually
from tests.bench.memory import footprint
from tests.contract.raw_http import RawAnswer, send_raw, until_closed

NOBODYS = "01890000-0000-7000-8000-0000000000ab"
CANARY = "canary7f3a"
LARGEST_BODY = 256 * 1024
ROUNDS = 3
MOST_GROWTH_MB = 24
# Handlers' threads are started when they are needed; strangers need none.
MOST_NEW_THREADS = 4
# Ten seconds, and what the watch and a busy machine may add.
CLOSED_WITHIN_SECONDS = 25.0

JSON = b"Content-Type: application/json\r\n"
GOOD = b"Authorization: Bearer %TOKEN%\r\n"
TRIGGER = f"/runs/{NOBODYS}/trigger".encode()


@dataclass(frozen=True)
class Row:
    """One request, and what it may be answered; status 0 is a connection closed without a word."""

    number: str
    request: bytes
    statuses: tuple[int, ...]
    code: str | None = None


def post(
    number: str,
    body: bytes,
    *expected: int | str,
    headers: bytes = GOOD + JSON,
    target: bytes = TRIGGER,
    framing: bytes | None = None,
) -> Row:
    """A trigger with this body."""
    length = b"Content-Length: %d\r\n" % len(body) if framing is None else framing
    head = b"POST %s HTTP/1.1\r\nHost: x\r\nConnection: close\r\n" % target
    return _row(number, head + headers + length + b"\r\n" + body, expected)


def get(number: str, target: bytes, *expected: int | str, headers: bytes = b"") -> Row:
    head = b"GET %s HTTP/1.1\r\nHost: x\r\nConnection: close\r\n%s\r\n" % (target, headers)
    return _row(number, head, expected)


def raw(number: str, request: bytes, *expected: int | str) -> Row:
    return _row(number, request, expected)


def _row(number: str, request: bytes, expected: tuple[int | str, ...]) -> Row:
    statuses = tuple(one for one in expected if isinstance(one, int))
    codes = [one for one in expected if isinstance(one, str)]
    return Row(number, request, statuses, codes[0] if codes else None)


def bearer(token: bytes) -> bytes:
    return b"Authorization: Bearer %s\r\n" % token


def at(run_id: bytes) -> bytes:
    return b"/runs/%s/trigger" % run_id


UNAUTHENTICATED = (401, "unauthenticated")
MALFORMED = (400, "malformed_json")
REFUSED = (400, "malformed_request")
MISSING = (404, "run_not_found")
NOBODY = NOBODYS.encode()

ROWS = [
    post("B1", b"", *UNAUTHENTICATED, headers=b""),
    get("B1", b"/runs/" + NOBODY, *UNAUTHENTICATED),
    post("B2", b"", *UNAUTHENTICATED, headers=b"Authorization: Basic dXNlcjpwdw==\r\n"),
    post("B2", b"", *UNAUTHENTICATED, headers=GOOD + GOOD),
    post("B2", b"", *UNAUTHENTICATED, headers=bearer(b"dibs_\xff_\xff")),
    post("B2", b"", *UNAUTHENTICATED, headers=bearer(b"dibs_a_" + b"x" * 9_000)),
    post("B3", b"", *UNAUTHENTICATED, headers=bearer(b"dibs_0123456789abcdef_" + CANARY.encode())),
    *(
        post("B8", b"", *MISSING, headers=GOOD, target=at(run_id))
        for run_id in (b"1", b"abc", b"%00", b"%1b%5b2J", b"x" * 10_240, b"'%20OR%201=1--")
    ),
    post("B8", b"", 404, headers=GOOD, target=at(b"../x")),
    *(
        post("B9", b"", *MISSING, headers=GOOD, target=at(run_id))
        for run_id in (
            NOBODY.upper(),
            b"%7B" + NOBODY + b"%7D",
            b"urn:uuid:" + NOBODY,
            NOBODY.replace(b"-", b""),
        )
    ),
    post("B10", b"", *UNAUTHENTICATED, headers=b"", target=TRIGGER + b"?token=%TOKEN%"),
    post("B10", b"", *UNAUTHENTICATED, headers=b"Cookie: token=%TOKEN%\r\n"),
    post("B10", b"", *UNAUTHENTICATED, headers=b"Dibs-On-Behalf-Of: Bearer %TOKEN%\r\n"),
    post("B11", b"{", *MALFORMED),
    post("B11", b"{} {}", *MALFORMED),
    post("B11", b'{"pendingData": 1', *MALFORMED),
    post("B12", b" ", *MALFORMED),
    *(post("B13", body, 422, "validation") for body in (b"[]", b'"a"', b"7", b"null", b"true")),
    post("B14", b"\xef\xbb\xbf{}", *MALFORMED),
    post("B14", '{"pendingData": 1}'.encode("utf-16"), *MALFORMED),
    post("B14", b'{"pendingData": "\xff"}', *MALFORMED),
    post("B14", b'{"pendingData": "\xed\xa0\x80"}', *MALFORMED),
    post("B15", b"[" * 100_000, *MALFORMED),
    post("B15", b'{"pendingData": ' + b"[" * 99_999 + b"]" * 99_999 + b"}", *MALFORMED),
    post("B15", b'{"pendingData": ' + b"[" * 32 + b"]" * 32 + b"}", 400, "json_too_complex"),
    post("B16", b'{"pendingData": ' + b"9" * 5_000 + b"}", 400),
    post("B16", b'{"pendingData": ' + b"1" * 309 + b"}", 400, "json_number_out_of_range"),
    post("B17", b'{"pendingData": 1e999}', *MALFORMED),
    post("B18", b'{"pendingData": NaN}', *MALFORMED),
    post("B18", b'{"pendingData": -Infinity}', *MALFORMED),
    post("B19", b'{"pendingData": {"\\u0000": 1}}', 422, "unsupported_character"),
    post("B20", b'{"pendingData": "\\ud800"}', *MALFORMED),
    post("B21", b'{"pendingData": 1, "pendingData": 2}', *MALFORMED),
    post("B21", b'{"pendingData": 1, "pending\\u0044ata": 2}', *MALFORMED),
    post("B21", b'{"pendingData": [{"a": 1, "a": 2}]}', *MALFORMED),
    post("B22", b'{"pendingData": [' + b"1," * 100_000 + b"1]}", 404, "run_not_found"),
    post("B23", b"", 413, framing=b"Content-Length: %d\r\n" % (LARGEST_BODY + 1)),
    post(
        "B24",
        (b"10000\r\n" + b" " * 0x10000 + b"\r\n") * 64,
        413,
        0,
        framing=b"Transfer-Encoding: chunked\r\n",
    ),
    *(
        post("B26", b"{}", *REFUSED, framing=framing)
        for framing in (
            b"Content-Length: 2\r\nTransfer-Encoding: chunked\r\n",
            b"Content-Length: 2\r\nContent-Length: 5\r\n",
            b"Content-Length: 2, 2\r\n",
            b"Content-Length: -1\r\n",
            b"Content-Length: 0x2\r\n",
            b"Transfer-Encoding: gzip\r\n",
            b"Transfer-Encoding: chunked, identity\r\n",
            b"Transfer-Encoding : chunked\r\n",
        )
    ),
    raw(
        "B26",
        b"POST %s HTTP/1.0\r\nHost: x\r\nConnection: keep-alive\r\n" % TRIGGER
        + b"Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        *REFUSED,
    ),
    post("B26", b"zz\r\n\r\n", *REFUSED, framing=b"Transfer-Encoding: chunked\r\n"),
    post(
        "B27",
        gzip.compress(b" " * 10_000_000),
        415,
        "unsupported_encoding",
        headers=GOOD + JSON + b"Content-Encoding: gzip\r\n",
    ),
    *(
        post("B28", b"{}", 415, "unsupported_media_type", headers=GOOD + media_type)
        for media_type in (
            b"",
            b"Content-Type: text/plain\r\n",
            b"Content-Type: application/x-www-form-urlencoded\r\n",
            b"Content-Type: application/json; charset=utf-16\r\n",
        )
    ),
    get("B56", TRIGGER, 405, "method_not_allowed", headers=GOOD),
    raw("B56", b"DELETE /health HTTP/1.1\r\nHost: x\r\n\r\n", 405, "method_not_allowed"),
    *(
        get("B57", target, 404, "not_found")
        for target in (
            b"/nothing",
            b"//health",
            b"/health/",
            b"/./health",
            b"/runs/../health",
            b"/%2e%2e/health",
            b"/runs//trigger",
            b"/static/x",
        )
    ),
    get("B58", b"/health", 431, headers=b"X-Large: " + CANARY.encode() * 10_000 + b"\r\n"),
    get("B58", b"/health", *REFUSED, headers=b"X-Many: y\r\n" * 1_000),
    get("B58", b"/health", *REFUSED, headers=b"X-Bare\r\n"),
    get("B58", b"/health", *REFUSED, headers=b"X-Id: " + CANARY.encode() + b"\n b\r\n"),
    get("B58", b"/health", *REFUSED, headers=b"X-Id: a\rb\r\n"),
    raw("B58", b"nonsense\r\n\r\n", *REFUSED),
    post(
        "B59",
        b"",
        *UNAUTHENTICATED,
        headers=b"X-Forwarded-For: 127.0.0.1\r\nForwarded: for=x\r\nX-Executor-Id: e\r\n",
    ),
    get("B60", TRIGGER, 405, headers=GOOD + b"X-HTTP-Method-Override: POST\r\n"),
    raw("B68", b"GET /health HTTP/1.0\r\n\r\n", *REFUSED),
    raw("B68", b"GET /health HTTP/1.0\r\nHost: x\r\n\r\n", *REFUSED),
    raw("B68", b"GET /health\r\n\r\n", *REFUSED),
    raw("B68", b"GET /health HTTP/1.1\r\nConnection: close\r\n\r\n", *REFUSED),
    get("B68", b"http://elsewhere/health", *REFUSED),
    get("B69", b"/health", *REFUSED, headers=b"Upgrade: websocket\r\nSec-WebSocket-Key: eA==\r\n"),
    raw("B69", b"TRACE /health HTTP/1.1\r\nHost: x\r\nX: " + CANARY.encode() + b"\r\n\r\n", 405),
    raw("B69", b"CONNECT elsewhere:443 HTTP/1.1\r\nHost: elsewhere\r\n\r\n", *REFUSED),
]


@dataclass
class GoodCaller:
    """Somebody who triggers one run after another, and minds every answer."""

    web: Client
    caller: Client
    queue: str
    triggered: list[str] = field(default_factory=list)
    surprises: list[str] = field(default_factory=list)
    _over: threading.Event = field(default_factory=threading.Event)

    def work(self) -> None:
        while not self._over.is_set():
            run_id = self.web.create(self.queue)
            try:
                answer = self.caller.trigger(run_id)
            except Exception as error:  # noqa: BLE001 - whatever it is, it is no answer
                self.surprises.append(repr(error))
                return
            if not answer.is_success:
                self.surprises.append(answer.text)
                return
            self.web.wait_for(run_id, "finished")
            self.triggered.append(run_id)

    @contextlib.contextmanager
    def at_work(self) -> Iterator[None]:
        thread = threading.Thread(target=self.work)
        thread.start()
        try:
            yield
        finally:
            self._over.set()
            thread.join()


@pytest.fixture(scope="module")
def hostile_fleet(stage: Stage, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Fleet]:
    with closing(Fleet(stage, "hostile-triggers", tmp_path_factory.mktemp("fleet"))) as fleet:
        yield fleet


@pytest.fixture(scope="module")
def executor(hostile_fleet: Fleet) -> Executor:
    """One executor that logs all it can, and lets strangers go on for long."""
    return hostile_fleet.start_idle(
        "shared",
        lease_seconds=30,
        LOG_LEVEL="debug",
        EXECUTOR_STRANGERS_PER_SECOND="1000",
        # What is freed is to be seen: with one for each thread, each keeps the most it ever held.
        MALLOC_ARENA_MAX="1",
    )


@pytest.fixture
def good_caller(executor: Executor, web: Client, queue: str) -> GoodCaller:
    return GoodCaller(web, executor.caller(), queue)


def complaint(row: Row, answer: RawAnswer) -> str | None:
    """What is wrong with the answer to a row."""
    said = f"{row.number} {row.request[:100]!r}: {answer.status} {answer.body[:200]!r}"
    if answer.status not in row.statuses or CANARY.encode() in answer.body:
        return said
    if answer.status == 0:
        return None
    if answer.headers.get("content-type") != "application/json":
        return said
    body = orjson.loads(answer.body)
    is_right = body.keys() == {"error", "code"} and row.code in (None, body["code"])
    return None if is_right else said


def test_no_hostile_request_is_a_500_or_in_the_way_of_a_good_caller(
    stage: Stage, executor: Executor, good_caller: GoodCaller
) -> None:
    token = stage.tokens[Role.CLIENT].encode()
    complaints: list[str | None] = []

    def send_all() -> None:
        for row in ROWS:
            answer = send_raw(executor.url, row.request.replace(b"%TOKEN%", token))
            complaints.append(complaint(row, answer))

    with good_caller.at_work():
        send_all()
        before = footprint(executor.process.pid)
        for _ in range(ROUNDS):
            send_all()
        after = footprint(executor.process.pid)

    assert [said for said in complaints if said] == []
    assert good_caller.surprises == []
    assert len(good_caller.triggered) > ROUNDS
    assert before
    assert after
    assert after.threads <= before.threads + MOST_NEW_THREADS
    assert after.memory_mb < before.memory_mb + MOST_GROWTH_MB
    log = executor.log_file.read_bytes()
    assert b"Traceback" not in log
    assert token.rpartition(b"_")[2] not in log
    assert CANARY.encode() not in log
    assert b"\x1b" not in log


def test_a_request_is_never_read_as_two(stage: Stage, executor: Executor) -> None:
    token = stage.tokens[Role.CLIENT].encode()
    health = b"GET /health HTTP/1.1\r\nHost: x\r\n\r\n"
    ambiguous = [row for row in ROWS if row.number == "B26"]

    for row in ambiguous:
        request = row.request.replace(b"%TOKEN%", token).replace(b"Connection: close\r\n", b"")
        ended = until_closed(executor.url, [request + health])

        assert [answer.status for answer in ended.answers] == [400], row


def test_slow_connections_are_closed_and_in_nobodys_way(
    executor: Executor, good_caller: GoodCaller
) -> None:
    begun = {
        "silent": b"",
        "header": b"POST /runs/x HTTP/1.1\r\nX-Slow: ",
        "body": post("B25", b"", framing=b"Content-Length: 1000\r\n").request + b"{",
    }
    with contextlib.ExitStack() as stack, good_caller.at_work():
        parts = urlsplit(executor.url)
        peers = []
        for sent in begun.values():
            for _ in range(60):
                peer = socket.create_connection((parts.hostname, parts.port))
                stack.callback(peer.close)
                peer.sendall(sent)
                peer.setblocking(False)
                peers.append(peer)

        eventually(
            lambda: all(map(_is_closed_while_it_drips, peers)),
            within_seconds=CLOSED_WITHIN_SECONDS,
        )

    assert good_caller.surprises == []
    assert good_caller.triggered


def test_a_flood_of_strangers_leaves_the_executors_own_work_alone(
    stage: Stage, hostile_fleet: Fleet, web: Client, queue: str
) -> None:
    executor = hostile_fleet.start_idle(
        "flooded", lease_seconds=30, LOG_LEVEL="debug", EXECUTOR_STRANGERS_PER_SECOND="0.5"
    )
    good = GoodCaller(web, executor.caller(), queue)
    good.caller.trigger(web.create(queue))
    garbage = [f"dibs_{secrets.token_hex(8)}_{CANARY}" for _ in range(300)]
    # One whose key id there is, beside those of nobody.
    garbage.append(f"{stage.tokens[Role.CLIENT].rpartition('_')[0]}_{CANARY}")

    with good.at_work(), closing(Client(executor.url)) as stranger:
        answers = [
            stranger.send(
                "POST", TRIGGER.decode(), headers={"Authorization": f"Bearer {token}"}
            ).status_code
            for token in garbage
        ]

    assert set(answers) == {401, 429}
    assert answers.count(401) < len(garbage) / 2
    assert good.surprises == []
    assert good.triggered
    assert CANARY.encode() not in executor.log_file.read_bytes()


def _is_closed_while_it_drips(peer: socket.socket) -> bool:
    try:
        peer.send(b"x")
        return peer.recv(4096) == b""
    except BlockingIOError:
        return False
    except OSError:
        return True
