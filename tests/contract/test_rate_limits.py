"""Who asks too often, over a socket: which requests count, for whom, and what is answered."""

import re
import socket
import time
from collections.abc import Iterator
from contextlib import closing
from urllib.parse import urlsplit
from uuid import uuid4

import httpx2
import pytest

from orchestrator.api.authentication import FAILURES_AT_ONCE
from orchestrator.dev.ports import LOOPBACK
from orchestrator.lifecycle import Role
from tests.acceptance.client import Client, Json
from tests.acceptance.processes import Orchestrator
from tests.acceptance.stage import Stage
from tests.acceptance.waiting import PATIENCE_SECONDS, eventually

AT_ONCE = 100


@pytest.fixture(scope="module")
def limited(stage: Stage, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Orchestrator]:
    """An orchestrator behind a proxy (this test) that lets a token ask once a second."""
    orchestrator = Orchestrator(
        "limited",
        stage.database.service_url,
        tmp_path_factory.mktemp("limited"),
        DIBS_TOKEN_REQUESTS_PER_SECOND="1",
        DIBS_TRUSTED_PROXIES=f"{LOOPBACK},10.0.0.0/8",
    )
    try:
        orchestrator.start()
        yield orchestrator
    finally:
        orchestrator.end()


def request_of(address: str, authorization: str, *, forged: str = "") -> bytes:
    """A request that a proxy forwards for this address, with what the client sent as its own."""
    lines = ["GET /v1/whoami HTTP/1.1", "Host: x", f"Authorization: {authorization}"]
    lines += [f"X-Forwarded-For: {forwarded}" for forwarded in (forged, address) if forwarded]
    return "\r\n".join([*lines, "", ""]).encode()


def statuses(url: str, requests: list[bytes]) -> list[int]:
    """Send these requests on one connection, and read all answers."""
    parts = urlsplit(url)
    last = requests[-1].replace(b"Host: x", b"Host: x\r\nConnection: close")
    received = b""
    with socket.create_connection((parts.hostname, parts.port), PATIENCE_SECONDS) as connection:
        connection.sendall(b"".join(requests[:-1]) + last)
        while chunk := connection.recv(65_536):
            received += chunk
    return [int(status) for status in re.findall(rb"HTTP/1\.1 (\d{3}) ", received)]


def send_bad_ones_until_refused(url: str, address: str) -> list[int]:
    told: list[int] = []
    give_up_at = time.monotonic() + PATIENCE_SECONDS
    while 429 not in told and time.monotonic() < give_up_at:
        told += statuses(url, [request_of(address, "Bearer nonsense")] * AT_ONCE)
    return told


def test_bad_credentials_of_one_address_are_refused_and_those_of_others_are_not(
    stage: Stage, limited: Orchestrator
) -> None:
    told = send_bad_ones_until_refused(limited.url, "192.0.2.1")
    good = f"Bearer {stage.tokens[Role.VIEWER]}"
    bad = "Bearer nonsense"

    assert told.count(401) >= FAILURES_AT_ONCE
    assert set(told) == {401, 429}
    assert statuses(limited.url, [request_of("192.0.2.1", good)]) == [200]
    assert statuses(limited.url, [request_of("192.0.2.2", bad)]) == [401]
    # What the client claims to be stands left of what its proxy saw.
    assert 429 in statuses(
        limited.url, [request_of("192.0.2.1", bad, forged="192.0.2.3")] * AT_ONCE
    )
    assert statuses(limited.url, [request_of("192.0.2.3, 10.1.1.1", bad)]) == [401]


def refused_at_last(client: Client) -> httpx2.Response:
    def ask() -> httpx2.Response | None:
        answer = client.send("GET", "/v1/whoami")
        return answer if answer.status_code == 429 else None

    return eventually(ask, what="a refusal")


def test_a_token_that_asks_too_often_is_told_when_to_come_back(
    stage: Stage, limited: Orchestrator
) -> None:
    with closing(Client(limited.url, stage.tokens[Role.OPERATOR])) as client:
        refused = refused_at_last(client)
        eventually(lambda: client.send("GET", "/v1/whoami").is_success, what="served again")
    with closing(Client(stage.orchestrator.url, stage.tokens[Role.OPERATOR])) as elsewhere:
        assert elsewhere.send("GET", "/v1/whoami").is_success

    assert refused.headers["Content-Type"] == "application/problem+json"
    assert refused.json()["code"] == "rate-limited"
    assert refused.headers["Retry-After"] == refused.headers["RateLimit-Reset"] == "1"
    assert refused.headers["RateLimit-Limit"] == "1"
    assert refused.headers["RateLimit-Remaining"] == "0"


def test_an_executor_beyond_its_budget_keeps_its_leases_reports_and_releases(
    stage: Stage, limited: Orchestrator, web: Client, queue: str
) -> None:
    run_ids = [web.create(queue) for _ in range(2)]
    with closing(stage.client(Role.EXECUTOR)) as unlimited:
        reported, released = unlimited.claim(queue, limit=2)
    session = str(uuid4())

    def lease(dispatch: Json) -> Json:
        return {"leaseId": dispatch["lease"]["id"], "runId": dispatch["run"]["id"]}

    both = [lease(reported), lease(released)]
    renewal = {"session": session, "leases": both, "claiming": [], "asOf": None}
    with closing(Client(limited.url, stage.tokens[Role.EXECUTOR])) as executor:
        refused_at_last(executor)
        for _ in range(20):
            renewed = executor.ask("POST", "/v1/leases/renew", renewal)
            assert len(renewed["renewed"]) == 2
        outcome = {"status": "success", "output": 1}
        report = lease(reported) | {"stepIndex": 0, "outcome": outcome}
        body = {"session": session, "chain": True, "reports": [report]}
        (result,) = executor.ask("POST", "/v1/reports", body)["results"]
        one = {"session": session, "leases": [lease(released)], "reason": "draining"}
        given_back = executor.ask("POST", "/v1/leases/release", one)["released"]

    assert result["status"] == "finished"
    assert given_back == [released["run"]["id"]]
    assert sorted([web.run(run_id)["runState"] for run_id in run_ids]) == ["finished", "pending"]
