"""Bulk acts over a socket: the bodies of api.md, and what is refused."""

from contextlib import closing
from typing import Any
from uuid import uuid4

import pytest

from orchestrator.lifecycle import Role
from tests.acceptance.client import Client, Json
from tests.acceptance.stage import Stage, make_token
from tests.contract.shapes import answer_schema, check_shape


@pytest.fixture
def runs(web: Client, queue: str) -> list[str]:
    """Three pending runs of the test's own queue."""
    body = {"workflow": "refund", "queue": queue}
    return [web.ask("POST", "/v1/runs", body)["id"] for _ in range(3)]


def states(web: Client, runs: list[str]) -> set[str]:
    return {web.ask("GET", f"/v1/runs/{run}")["runState"] for run in runs}


def test_a_dry_run_an_abort_and_a_retry(
    web: Client, runs: list[str], queue: str, document: Json
) -> None:
    wanted = {"filter": {"queue": queue}}
    dry = web.ask("POST", "/v1/bulk/abort", {**wanted, "dryRun": True})
    untouched = states(web, runs)
    aborted = web.ask("POST", "/v1/bulk/abort", {**wanted, "reason": "wrong batch"})
    again = web.ask("POST", "/v1/bulk/abort", wanted)
    retried = web.ask(
        "POST", "/v1/bulk/retry", {"filter": {"queue": queue, "state": "failed,aborted"}}
    )

    assert (dry["matched"], dry["changed"], dry["refused"]) == (3, 0, 0)
    assert untouched == {"pending"}
    assert (aborted["matched"], aborted["changed"], aborted["refused"]) == (3, 3, 0)
    assert (again["matched"], again["changed"], again["refused"]) == (3, 0, 3)
    assert (retried["matched"], retried["changed"], retried["refused"]) == (3, 3, 0)
    assert states(web, runs) == {"pending"}
    for answer in (dry, aborted, again, retried):
        check_shape(document, answer_schema(document, "POST", "/v1/bulk/abort", 200), answer)


def test_a_repeat_by_key_gets_what_the_first_one_got(
    web: Client, runs: list[str], queue: str
) -> None:
    body, key = {"filter": {"queue": queue}}, str(uuid4())
    first = web.ask("POST", "/v1/bulk/abort", body, Idempotency_Key=key)
    for run in runs:
        web.ask("POST", f"/v1/runs/{run}/retry", {})

    assert web.ask("POST", "/v1/bulk/abort", body, Idempotency_Key=key) == first
    assert states(web, runs) == {"pending"}
    other = web.send(
        "POST", "/v1/bulk/abort", body | {"reason": "other"}, headers={"Idempotency-Key": key}
    )
    assert (other.status_code, other.json()["code"]) == (422, "idempotency-key-reused")


def test_only_the_queues_of_the_token_are_touched(
    stage: Stage, web: Client, runs: list[str], queue: str
) -> None:
    body = {"filter": {"queue": queue}}
    token = make_token(stage.database, f"of-{queue}", Role.CLIENT, ("elsewhere.*",))
    wide = {"filter": {"workflow": "refund"}, "dryRun": True}
    with closing(Client(stage.orchestrator.url, token)) as stranger:
        assert stranger.ask("POST", "/v1/bulk/abort", body)["matched"] == 0
        assert stranger.ask("POST", "/v1/bulk/abort", wide)["matched"] == 0
    assert states(web, runs) == {"pending"}


@pytest.mark.parametrize(
    ("body", "path"),
    [
        ({}, "/filter"),
        ({"filter": {}}, "/filter"),
        ({"filter": {"queue": None}}, "/filter"),
        ({"filter": None}, "/filter"),
        ({"filter": {"limit": 10}}, "/filter/limit"),
        ({"filter": {"state": ["pending"]}}, "/filter/state"),
        ({"filter": {"state": "running"}}, "/filter/state"),
        ({"filter": {"state": ""}}, "/filter/state"),
        ({"filter": {"queue": "*"}}, "/filter/queue"),
        ({"filter": {"createdAfter": "yesterday"}}, "/filter/createdAfter"),
        ({"filter": {"queue": "q"}, "dryRun": "true"}, "/dryRun"),
        ({"filter": {"queue": "q"}, "dry_run": True}, "/dry_run"),
    ],
)
@pytest.mark.parametrize("act", ["abort", "retry"])
def test_what_says_too_little_or_too_much_is_refused(
    web: Client, act: str, body: Any, path: str
) -> None:
    answer = web.send("POST", f"/v1/bulk/{act}", body)

    problem = answer.json()
    assert (answer.status_code, problem["code"]) == (422, "validation")
    assert [error["path"] for error in problem["errors"]] == [path]
