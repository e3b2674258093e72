"""
Whether an unknown key id can be told from a wrong secret by time. `make timing` runs it.

It is no test of the suite: it takes minutes, and wants a machine that does nothing else.
That both are the same work is tested without a clock in `unit/api/test_bearer_tokens.py`.
"""

from __future__ import annotations

import random
import secrets
import socket
import sys
import threading
import time
from bisect import bisect_left, bisect_right
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from statistics import median
from urllib.parse import urlsplit

import pytest

from orchestrator.dev.ports import LOOPBACK
from orchestrator.lifecycle import Role
from tests.acceptance.processes import Orchestrator
from tests.acceptance.stage import Stage
from tests.acceptance.waiting import PATIENCE_SECONDS

OF_EACH = 5_000
# Who is judged waits for a reading: a few wait together.
CONNECTIONS = 8
FLOODS = 3
Seconds = dict[str, list[float]]


@pytest.fixture(scope="module")
def behind_a_proxy(
    stage: Stage, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Orchestrator]:
    """An orchestrator that believes this test whose requests it sends."""
    directory = tmp_path_factory.mktemp("timing")
    orchestrator = Orchestrator(
        "timing", stage.database.service_url, directory, DIBS_TRUSTED_PROXIES=LOOPBACK
    )
    try:
        orchestrator.start()
        yield orchestrator
    finally:
        orchestrator.end()


@pytest.mark.timeout(1_200)
@pytest.mark.parametrize(
    ("status", "connections"), [(401, CONNECTIONS), (429, 1)], ids=["judged", "beyond the limit"]
)
def test_an_unknown_id_takes_as_long_as_a_wrong_secret(
    stage: Stage, behind_a_proxy: Orchestrator, status: int, connections: int
) -> None:
    known_id = stage.tokens[Role.CLIENT].split("_")[1]
    address = "192.0.2.1" if status == 429 else None
    url, share = behind_a_proxy.url, OF_EACH // connections
    with flooded(url, address), ThreadPoolExecutor(connections) as pool:
        asked = [
            pool.submit(measured, url, known_id, share, status, address) for _ in range(connections)
        ]
        parts = [each.result() for each in asked]
    unknown = [one for part in parts for one in part["unknown"]]
    wrong = [one for part in parts for one in part["wrong"]]
    found = superiority(unknown, wrong)

    sys.stdout.write(
        f"\n{status}, {len(unknown)} of each: an unknown id is slower with probability {found:.3f};"
        f" medians {median(unknown) * 1e6:.0f} and {median(wrong) * 1e6:.0f} us\n"
    )
    assert 0.45 <= found <= 0.55


@contextmanager
def flooded(url: str, address: str | None) -> Iterator[None]:
    """Others at the address send so much that it stays beyond its limit."""
    over, beyond = threading.Event(), threading.Event()

    def flood() -> None:
        with Line(url) as line:
            while not over.is_set():
                if line.ask("nonsense", address or "") == 429:
                    beyond.set()

    with ThreadPoolExecutor(FLOODS) as pool:
        floods = [pool.submit(flood) for _ in range(FLOODS if address else 0)]
        try:
            assert not floods or beyond.wait(PATIENCE_SECONDS)
            yield
        finally:
            over.set()
        for each in floods:
            each.result()


def measured(url: str, known_id: str, of_each: int, status: int, address: str | None) -> Seconds:
    """
    Ask with either kind, by chance, on one connection; how long it took to be told this status.

    Beyond the limit a few are judged all the same: as many as it allows in that time.
    """
    took: Seconds = {"unknown": [], "wrong": []}
    with Line(url) as line:
        while min(map(len, took.values())) < of_each:
            kind = random.choice([*took])
            key_id = known_id if kind == "wrong" else secrets.token_hex(8)
            token = f"dibs_{key_id}_{secrets.token_urlsafe(32)}"
            client = address or f"10.{random.randrange(256)}.{random.randrange(256)}.1"
            began_at = time.perf_counter()
            told = line.ask(token, client)
            seconds = time.perf_counter() - began_at
            if told == status:
                took[kind].append(seconds)
    return took


def superiority(some: list[float], others: list[float]) -> float:
    """How probable it is that one of some is greater than one of others; ties count half."""
    others = sorted(others)
    below = sum(bisect_left(others, one) + bisect_right(others, one) for one in some)
    return below / 2 / len(some) / len(others)


class Line:
    """One connection, on which one request after the other is sent."""

    def __init__(self, url: str) -> None:
        parts = urlsplit(url)
        self._socket = socket.create_connection((parts.hostname, parts.port), PATIENCE_SECONDS)
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def __enter__(self) -> Line:
        return self

    def __exit__(self, *_: object) -> None:
        self._socket.close()

    def ask(self, token: str, address: str) -> int:
        """Ask who the token stands for, from this address; the status."""
        self._socket.sendall(
            f"GET /v1/whoami HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {token}\r\n"
            f"X-Forwarded-For: {address}\r\n\r\n".encode()
        )
        received = b""
        while b'"requestId"' not in received or not received.endswith(b"}"):
            chunk = self._socket.recv(65_536)
            assert chunk, "closed"
            received += chunk
        return int(received.split(b" ", 2)[1])
