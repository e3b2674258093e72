"""A second copy of a request, while the first is being served by another orchestrator.

Over a socket. The first copy is held in its transaction for as long as the test wants; the
second waits for it for as long as any request may wait, and then is told to come again.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing, contextmanager
from dataclasses import dataclass
from typing import Any

import psycopg
import pytest
from werkzeug.test import TestResponse

from orchestrator import schema
from orchestrator.lifecycle import Role
from tests.acceptance.client import Client
from tests.acceptance.stage import Stage, check_all_ledgers, stage_on
from tests.acceptance.waiting import eventually
from tests.database import Template, fresh_database, needs_a_session
from tests.integration.face import Face
from tests.integration.gathered import patient
from tests.integration.keyed_requests import KeyedRequest, claim, claim_by_id, create, report

HELD_BY = 4711
LONGEST_ANSWER_SECONDS = 7.0
"""Five that a request may wait for the database, and what a busy machine adds."""

# Who sends each, and what its answers say of the first one's: the same for both copies.
Tells = Callable[[Any], Any]
COPIES: dict[str, tuple[Callable[[Client, Client], KeyedRequest], Role, Tells]] = {
    "create": (create, Role.CLIENT, lambda said: said["id"]),
    "claim": (claim, Role.EXECUTOR, lambda said: said["dispatches"][0]["lease"]["id"]),
    "claim-by-id": (claim_by_id, Role.EXECUTOR, lambda said: said["lease"]["id"]),
    "report": (report, Role.EXECUTOR, lambda said: said["results"][0]["status"]),
}


@dataclass(frozen=True)
class Both:
    """Two orchestrators of one database: one in this process, which has all the time it wants."""

    stage: Stage
    patient: Face
    owner: psycopg.Connection[Any]
    web: Client
    holder: Client

    def first(self, name: str, request: KeyedRequest) -> TestResponse:
        """Send the first copy."""
        role = COPIES[name][1]
        return self.patient.send(role, "POST", request.path, request.body, request.headers)


@pytest.fixture(scope="module")
def both(template: Template, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Both]:
    with (
        fresh_database(template) as database,
        closing(psycopg.connect(database.owner_url, autocommit=True)) as owner,
        stage_on(database, tmp_path_factory.mktemp("stage")) as stage,
        closing(stage.client()) as web,
        closing(stage.client(Role.EXECUTOR)) as holder,
        closing(Face(database, owner, connections=1, tokens=stage.tokens)) as face,
    ):
        owner.execute(
            b"CREATE FUNCTION hold() RETURNS trigger LANGUAGE plpgsql AS"
            b" $$BEGIN PERFORM pg_advisory_xact_lock(%d); RETURN NULL; END$$" % HELD_BY
        )
        with patient(database, owner):
            # Its connections are opened now, with the time-outs of this moment.
            face.succeed(face.dispatch("record"))
            schema.grant(database.owner_url, database.service_role)
            yield Both(stage, face, owner, web, holder)
        check_all_ledgers(database)


@contextmanager
def held(both: Both, name: str, request: KeyedRequest) -> Iterator[Future[TestResponse]]:
    """The first copy is in its transaction, and stays there for as long as the block lasts."""
    both.owner.execute(
        'CREATE TRIGGER hold AFTER INSERT ON "runEvents" FOR EACH ROW'
        f" WHEN (NEW.kind = '{request.kind}') EXECUTE FUNCTION hold()".encode()
    )
    both.owner.execute("SELECT pg_advisory_lock(%s)", [HELD_BY])
    with ThreadPoolExecutor(1) as thread:
        try:
            first = thread.submit(both.first, name, request)
            eventually(lambda: waiting(both) == 1, what="the first copy is held")
            yield first
        finally:
            both.owner.execute("SELECT pg_advisory_unlock_all()")
            first.result()
            both.owner.execute('DROP TRIGGER hold ON "runEvents"')


def waiting(both: Both) -> int:
    """How many sessions of both orchestrators wait for a lock."""
    both.owner.execute("SELECT pg_stat_clear_snapshot()")
    return both.owner.execute(
        "SELECT FROM pg_stat_activity WHERE datname = current_database()"
        " AND application_name LIKE 'dibs%' AND wait_event_type = 'Lock'"
    ).rowcount


@pytest.mark.parametrize("name", COPIES)
def test_a_second_copy_that_waits_too_long_is_told_to_come_again(both: Both, name: str) -> None:
    needs_a_session("time-outs that stay with who opened it")
    prepare, _, tells = COPIES[name]
    request = prepare(both.web, both.holder)
    with held(both, name, request) as first:
        began = time.monotonic()
        second = request.send()
        took_seconds = time.monotonic() - began
        before = request.effects(both.owner)

    # Whose clock ends it, the server's or ours, is four seconds against four and a half.
    assert second.status_code == 503, second.text
    assert second.json()["code"] in ("overloaded", "unavailable")
    assert int(second.headers["Retry-After"]) >= 1
    assert took_seconds < LONGEST_ANSWER_SECONDS
    assert before == 0
    assert tells(request.send().json()) == tells(first.result().get_json())
    assert request.effects(both.owner) == 1


@pytest.mark.parametrize("name", COPIES)
def test_a_second_copy_that_waits_gets_what_the_first_one_got(both: Both, name: str) -> None:
    prepare, _, tells = COPIES[name]
    request = prepare(both.web, both.holder)
    with ThreadPoolExecutor(1) as thread:
        with held(both, name, request) as first:
            second = thread.submit(request.send)
            eventually(lambda: waiting(both) == 2, what="the second copy waits")
        answer = second.result()

    assert answer.is_success, answer.text
    assert tells(answer.json()) == tells(first.result().get_json())
    assert request.effects(both.owner) == 1
