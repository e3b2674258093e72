"""`/metrics` of a server of two processes: one sum, whichever of them is asked."""

from __future__ import annotations

import os
import re
import signal
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from uuid import uuid4

import pytest

from orchestrator.api.census_metrics import NAMED_QUEUES
from orchestrator.lifecycle import Role
from tests.acceptance.client import Client
from tests.acceptance.stage import Stage, make_token, stage_on
from tests.acceptance.waiting import eventually
from tests.database import Template, fresh_database
from tests.scraped import Scraped

WORKERS = 2
RUNS = 60


@pytest.fixture(scope="module")
def stage(template: Template, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    """A server of two processes, for this module alone."""
    with (
        fresh_database(template) as database,
        stage_on(database, tmp_path_factory.mktemp("metrics"), DIBS_WORKERS=str(WORKERS)) as stage,
    ):
        yield stage


def scrape(stage: Stage, role: Role = Role.VIEWER) -> Scraped:
    """Over a connection of its own, which either process may accept."""
    with closing(stage.client(role)) as client:
        answer = client.send("GET", "/metrics")
        assert answer.status_code == 200, answer.text
        assert answer.headers["Content-Type"] == "text/plain; version=0.0.4; charset=utf-8"
        return Scraped(answer.text)


def on_its_own_connection(stage: Stage, role: Role, method: str, path: str, body: object) -> int:
    with closing(stage.client(role)) as client:
        return client.send(method, path, body).status_code


def worker_pids(stage: Stage) -> list[int]:
    parent = stage.orchestrator.process.pid
    listed = Path(f"/proc/{parent}/task/{parent}/children").read_text().split()
    return [int(pid) for pid in listed if is_worker(int(pid))]


def is_worker(pid: int) -> bool:
    """Whether it is one of those that listen, not a helper of multiprocessing's."""
    try:
        return b"resource_tracker" not in Path(f"/proc/{pid}/cmdline").read_bytes()
    except FileNotFoundError:
        # It has just gone.
        return False


def claim(queue: str, limit: int = 1) -> dict[str, object]:
    return {
        "session": str(uuid4()),
        "requestId": str(uuid4()),
        "queues": [queue],
        "limit": limit,
        "leaseSeconds": 60,
        "waitSeconds": 0,
    }


def test_requests_over_many_connections_are_in_one_sum_and_outlive_a_process(
    stage: Stage,
) -> None:
    before = scrape(stage)

    def create(_: int) -> int:
        body = {"workflow": "record", "queue": "sums"}
        return on_its_own_connection(stage, Role.CLIENT, "POST", "/v1/runs", body)

    def claim_one(_: int) -> int:
        return on_its_own_connection(stage, Role.EXECUTOR, "POST", "/v1/claims", claim("sums"))

    with ThreadPoolExecutor(8) as pool:
        assert set(pool.map(create, range(RUNS))) == {201}
        assert set(pool.map(claim_one, range(RUNS))) == {200}
        assert set(pool.map(claim_one, range(5))) == {200}

    def has_grown(now: Scraped, name: str, **labels: str) -> float:
        return now.sum(name, **labels) - before.sum(name, **labels)

    def assert_right(now: Scraped) -> None:
        route = {"method": "POST", "route": "/v1/runs", "status": "2xx"}
        assert has_grown(now, "dibs_http_requests_total", **route) == RUNS
        assert has_grown(now, "dibs_http_request_duration_seconds_count", kind="create") == RUNS
        assert has_grown(now, "dibs_runs_created_total") == RUNS
        assert has_grown(now, "dibs_claims_total", by="poll", result="granted") == RUNS
        assert has_grown(now, "dibs_claims_total", by="poll", result="empty") == 5
        assert has_grown(now, "dibs_claimed_runs_total") == RUNS
        assert has_grown(now, "dibs_run_wait_seconds_count") == RUNS
        assert 1 <= has_grown(now, "dibs_claim_commits_total") <= RUNS
        assert has_grown(now, "dibs_gathered_requests_sum", desk="creates") == RUNS
        assert has_grown(now, "dibs_gathered_requests_sum", desk="claims") == RUNS + 5

    for _ in range(8):
        assert_right(scrape(stage))

    killed, _ = worker_pids(stage)
    os.kill(killed, signal.SIGKILL)
    eventually(
        lambda: killed not in (pids := worker_pids(stage)) and len(pids) == WORKERS,
        what="another process takes its place",
    )
    eventually(
        lambda: scrape(stage).sum("dibs_workers") == WORKERS, what="and says how things stand"
    )
    assert_right(scrape(stage))


def test_whatever_is_asked_for_makes_no_series(stage: Stage) -> None:
    with closing(stage.client(Role.CLIENT)) as client:
        client.send("GET", "/nothing")
        series = of_processes(scrape(stage))
        for number in range(300):
            client.send("GET", f"/nothing/{number}")
            client.send("GET", f"/v1/runs/{number}")
            client.send("POST", "/v1/runs", {"workflow": f"w{number}", "queue": f"q{number}"})
        client.send("PROPFIND", "/v1/runs")

    scraped = scrape(stage)

    # By status and route, and the problems that came for the first time.
    assert of_processes(scraped) <= series + 10
    assert not re.search(r'"(w|/nothing/)\d+', scraped.text)
    # A census of a moment ago may not know of all queues; none knows of more by name.
    assert len(scraped.labelled("dibs_runs", "queue")) <= NAMED_QUEUES + 1


def of_processes(scraped: Scraped) -> int:
    """How many series there are beside those of queues."""
    return sum("queue" not in sample.labels for sample in scraped.samples)


@pytest.mark.parametrize("role", [Role.CLIENT, Role.EXECUTOR])
def test_only_those_who_watch_may_scrape(stage: Stage, role: Role) -> None:
    assert on_its_own_connection(stage, role, "GET", "/metrics", None) == 403


def test_a_token_is_told_of_its_own_queues_only(stage: Stage) -> None:
    limited = make_token(stage.database, "limited", Role.VIEWER, ("mine.*",))
    with closing(stage.client(Role.CLIENT)) as client:
        client.create("mine.one")
        client.create("others")

    def look() -> Scraped | None:
        with closing(Client(stage.orchestrator.url, limited)) as viewer:
            scraped = Scraped(viewer.send("GET", "/metrics").text)
        return scraped if scraped.labelled("dibs_runs", "queue") else None

    told = eventually(look, what="a census knows the queue")

    assert told.labelled("dibs_runs", "queue") == {"mine.one"}


def test_problems_are_counted_by_code_those_of_items_among_them(stage: Stage) -> None:
    before = scrape(stage)
    stale = {
        "leaseId": str(uuid4()),
        "runId": str(uuid4()),
        "stepIndex": 0,
        "outcome": {"status": "success", "output": None},
    }
    with closing(stage.client(Role.EXECUTOR)) as executor:
        executor.ask("POST", "/v1/reports", {"session": str(uuid4()), "reports": [stale]})
        executor.send("POST", "/v1/claims", {"nonsense": 1})
        executor.send("GET", "/nothing")

    after = scrape(stage)

    def grown(code: str) -> float:
        return after.sum("dibs_problems_total", code=code) - before.sum(
            "dibs_problems_total", code=code
        )

    assert (grown("lease-lost"), grown("validation"), grown("not-found")) == (1, 1, 1)
    refused = {"outcome": "success", "result": "refused"}
    assert (
        after.sum("dibs_reports_total", **refused)
        == before.sum("dibs_reports_total", **refused) + 1
    )
