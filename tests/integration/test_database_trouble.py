"""Whatever the database says, a request is done or told to come again, and done once: never a 500.

Over a socket, to a real orchestrator whose Postgres stands behind a door of ours. What Postgres
cannot be brought to say on the spot, a trigger says with its SQLSTATE, in a statement or at COMMIT.
"""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import httpx2
import psycopg
import pytest

from orchestrator.lifecycle import Role
from tests.acceptance.client import Client
from tests.acceptance.stage import Stage, check_all_ledgers, stage_on
from tests.acceptance.waiting import eventually
from tests.database import Template, fresh_database, needs_a_session
from tests.integration.door import Door, door_to
from tests.integration.keyed_requests import REQUESTS, KeyedRequest, is_refused, problem_of

KILLED = "killed"
ALWAYS = 1_000_000
WORK_CONNECTIONS, LEASE_CONNECTIONS = 8, 4
BUSY, AWAY, UNKNOWN = "overloaded", "unavailable", "outcome-unknown"

# What a statement may end with, and what the caller is told when it does so every time.
SAID: dict[str, str] = {
    "40001": AWAY,  # serialization_failure
    "40P01": AWAY,  # deadlock_detected
    "08006": AWAY,  # connection_failure
    "57P01": AWAY,  # admin_shutdown
    "57P02": AWAY,  # crash_shutdown
    "57P03": AWAY,  # cannot_connect_now
    "25006": AWAY,  # read_only_sql_transaction
    "53300": BUSY,  # too_many_connections
    "53100": AWAY,  # disk_full
    "53200": BUSY,  # out_of_memory
    "55P03": BUSY,  # lock_not_available
    "57014": BUSY,  # query_canceled
    KILLED: AWAY,
}
# What is tried again at once, so that the caller does not hear of it.
TRIED_AGAIN = {"40001", "40P01", KILLED}

# What somebody is told who connects, in the words of Postgres and of PgBouncer.
TURNED_AWAY: dict[str, tuple[str, str, str]] = {
    "full": ("53300", "sorry, too many clients already", BUSY),
    "full-for-the-role": ("53300", 'too many connections for role "dibs_service"', BUSY),
    "full-but-for-superusers": (
        "53300",
        "remaining connection slots are reserved for roles with the SUPERUSER attribute",
        BUSY,
    ),
    "full-pooler": ("08P01", "no more connections allowed (max_client_conn)", BUSY),
    "starting": ("57P03", "the database system is starting up", AWAY),
    "recovering": ("57P03", "the database system is in recovery mode", AWAY),
    "stopping": ("57P03", "the database system is shutting down", AWAY),
    "terminated": ("57P01", "terminating connection due to administrator command", AWAY),
    "crashed": ("57P02", "terminating connection because of crash of another process", AWAY),
    "out-of-memory": ("53200", "out of memory", AWAY),
    "disk-full": ("53100", "could not extend file: No space left on device", AWAY),
    "in-words-unknown-here": ("53300", "désolé, trop de clients sont déjà connectés", AWAY),
}


@dataclass(frozen=True)
class Scene:
    """An orchestrator, who speaks to it, the door to its database, and the owner's way past it."""

    stage: Stage
    door: Door
    owner: psycopg.Connection[Any]
    web: Client
    holder: Client

    def sql(self, statement: str) -> list[tuple[Any, ...]]:
        cursor = self.owner.execute(statement.encode())
        return cursor.fetchall() if cursor.description else []

    def request(self, name: str) -> KeyedRequest:
        return REQUESTS[name](self.web, self.holder)

    def is_well(self) -> bool:
        """Whether every pool of the orchestrator's has a connection that works."""
        asked = (
            self.web.send("GET", "/v1/runs?limit=1"),
            self.holder.send(
                "POST",
                "/v1/leases/renew",
                {"session": "00000000-0000-4000-8000-000000000000", "leases": [], "claiming": []},
            ),
        )
        return all(answer.is_success for answer in asked)


@pytest.fixture(scope="module")
def scene(template: Template, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scene]:
    with (
        fresh_database(template) as database,
        door_to(database.service_url) as door,
        closing(psycopg.connect(database.owner_url, autocommit=True)) as owner,
        stage_on(
            replace(database, service_url=door.url(database.service_url)),
            tmp_path_factory.mktemp("stage"),
        ) as stage,
        closing(stage.client()) as web,
        closing(stage.client(Role.EXECUTOR)) as holder,
    ):
        owner.execute(
            b"CREATE SEQUENCE trouble; CREATE FUNCTION trouble() RETURNS trigger"
            b" LANGUAGE plpgsql SECURITY DEFINER AS $$BEGIN"
            b" IF nextval('public.trouble') <= TG_ARGV[1]::bigint THEN"
            b" IF TG_ARGV[0] = 'killed' THEN PERFORM pg_terminate_backend(pg_backend_pid());"
            b" PERFORM pg_sleep(60);"
            b" ELSE RAISE EXCEPTION 'made up' USING ERRCODE = TG_ARGV[0]; END IF; END IF;"
            b" RETURN NULL; END$$"
        )
        yield Scene(stage, door, owner, web, holder)
        check_all_ledgers(database)
        assert stage.orchestrator.said("request_failed") == []


@contextmanager
def trouble(scene: Scene, kind: str, said: str, *, at_commit: bool, times: int) -> Iterator[None]:
    """So often, whoever writes an event of this kind hears this."""
    scene.sql("ALTER SEQUENCE trouble RESTART")
    scene.sql(
        f'CREATE CONSTRAINT TRIGGER trouble AFTER INSERT ON "runEvents"'
        f" DEFERRABLE INITIALLY {'DEFERRED' if at_commit else 'IMMEDIATE'}"
        f" FOR EACH ROW WHEN (NEW.kind = '{kind}') EXECUTE FUNCTION trouble('{said}', {times})"
    )
    try:
        yield
    finally:
        scene.sql('DROP TRIGGER trouble ON "runEvents"')


def told_to_come_again(answer: httpx2.Response, code: str) -> None:
    assert problem_of(answer) == (503, code), answer.text
    if not answer.is_success:
        assert int(answer.headers["Retry-After"]) >= 1


def done_once(scene: Scene, request: KeyedRequest) -> None:
    """Sent again, as often as it is told to: it is done, and was done once."""
    eventually(lambda: not is_refused(request.send()), what=f"{request.path} is done")
    assert request.effects(scene.owner) == 1


@pytest.mark.parametrize("said", SAID)
@pytest.mark.parametrize("name", REQUESTS)
@pytest.mark.fault("F47")
def test_what_a_statement_ends_with_every_time_is_no_effect_and_a_503(
    scene: Scene, name: str, said: str
) -> None:
    request = scene.request(name)
    with trouble(scene, request.kind, said, at_commit=False, times=ALWAYS):
        answer = request.send()

    told_to_come_again(answer, SAID[said])
    assert request.effects(scene.owner) == 0
    done_once(scene, request)


@pytest.mark.parametrize("said", SAID)
@pytest.mark.parametrize("name", REQUESTS)
@pytest.mark.fault("F47")
def test_what_a_statement_ends_with_once_is_done_once(scene: Scene, name: str, said: str) -> None:
    request = scene.request(name)
    with trouble(scene, request.kind, said, at_commit=False, times=1):
        answer = request.send()

    if said in TRIED_AGAIN:
        assert not is_refused(answer), answer.text
    elif is_refused(answer):
        told_to_come_again(answer, SAID[said])
    done_once(scene, request)


@pytest.mark.parametrize("said", SAID)
@pytest.mark.parametrize("name", REQUESTS)
@pytest.mark.fault("F47")
def test_what_a_commit_ends_with_once_is_done_once(scene: Scene, name: str, said: str) -> None:
    """It is looked up; nobody is told anything but what became of it."""
    request = scene.request(name)
    with trouble(scene, request.kind, said, at_commit=True, times=1):
        answer = request.send()

    assert not is_refused(answer), answer.text
    done_once(scene, request)


@pytest.mark.parametrize(("said", "code"), [("40001", AWAY), ("53100", UNKNOWN), (KILLED, UNKNOWN)])
@pytest.mark.fault("F47")
def test_what_a_commit_ends_with_every_time_is_a_503(scene: Scene, said: str, code: str) -> None:
    request = scene.request("create")
    with trouble(scene, request.kind, said, at_commit=True, times=ALWAYS):
        answer = request.send()

    told_to_come_again(answer, code)
    assert request.effects(scene.owner) == 0
    done_once(scene, request)


@pytest.mark.parametrize("said", ["22003", "23514"])
@pytest.mark.parametrize("name", REQUESTS)
def test_a_value_that_the_database_refuses_is_refused_without_its_words(
    scene: Scene, name: str, said: str
) -> None:
    """No known request comes so far: the edge refuses it before."""
    request = scene.request(name)
    with trouble(scene, request.kind, said, at_commit=False, times=ALWAYS):
        answer = request.send()

    assert problem_of(answer) == (422, "validation")
    assert "made up" not in answer.text
    assert request.effects(scene.owner) == 0
    done_once(scene, request)


@pytest.mark.parametrize("arrives", [True, False], ids=["answer-lost", "commit-lost"])
@pytest.mark.parametrize("name", REQUESTS)
def test_a_lost_commit_is_looked_up_and_done_once(scene: Scene, name: str, arrives: bool) -> None:
    request = scene.request(name)
    lost_before = scene.door.lost_commits
    scene.door.lose_commit(request.mark, arrives=arrives)

    answer = request.send()

    assert scene.door.lost_commits == lost_before + 1
    assert not is_refused(answer), answer.text
    done_once(scene, request)


@contextmanager
def away(scene: Scene) -> Iterator[None]:
    """What the block does to the database is over at its end, and the orchestrator well again."""
    try:
        yield
    finally:
        scene.door.open()
        eventually(scene.is_well, what="the orchestrator is well again")


@pytest.mark.parametrize("how", TURNED_AWAY)
def test_who_is_turned_away_when_connecting_is_told_to_come_again(scene: Scene, how: str) -> None:
    sqlstate, words, code = TURNED_AWAY[how]
    requests = [scene.request(name) for name in REQUESTS]
    with away(scene):
        scene.door.turn_away(sqlstate, words)
        answers = [request.send() for request in requests]

    for request, answer in zip(requests, answers, strict=True):
        told_to_come_again(answer, code)
        done_once(scene, request)


@pytest.mark.parametrize("how", ["shut", "hang_up"])
@pytest.mark.fault("F26")
def test_whom_nobody_answers_is_told_to_come_again(scene: Scene, how: str) -> None:
    requests = [scene.request(name) for name in REQUESTS]
    with away(scene):
        getattr(scene.door, how)()
        answers = [request.send() for request in requests]

    for request, answer in zip(requests, answers, strict=True):
        told_to_come_again(answer, AWAY)
        done_once(scene, request)


def test_a_database_that_lets_nobody_more_in_is_busy(scene: Scene) -> None:
    """The words are those of this Postgres."""
    needs_a_session("backends that come and go with their clients")
    request = scene.request("create")
    with away(scene):
        scene.sql(
            "DO $$BEGIN EXECUTE format('ALTER DATABASE %I CONNECTION LIMIT 0',"
            " current_database()); END$$"
        )
        scene.door.throw_out()
        answer = request.send()
        scene.sql(
            "DO $$BEGIN EXECUTE format('ALTER DATABASE %I CONNECTION LIMIT -1',"
            " current_database()); END$$"
        )

    told_to_come_again(answer, BUSY)
    done_once(scene, request)


@pytest.mark.parametrize("name", REQUESTS)
@pytest.mark.fault("F19")
def test_a_database_that_became_read_only_is_left_for_one_that_writes(
    scene: Scene, name: str
) -> None:
    """A connection that was opened while it was read-only would stay so for half an hour."""
    needs_a_session("backends that come and go with their clients")
    request = scene.request(name)
    set_default = "DO $$BEGIN EXECUTE format('ALTER DATABASE %I SET default_transaction_read_only"
    with away(scene):
        scene.sql(f"{set_default} = on', current_database()); END$$")
        scene.door.throw_out()
        answer = request.send()
        scene.sql("SET default_transaction_read_only = off")
        scene.sql(f"{set_default} = off', current_database()); END$$")

    told_to_come_again(answer, AWAY)
    done_once(scene, request)


@pytest.mark.fault("F17")
def test_when_every_backend_was_killed_nobody_hears_of_it(scene: Scene) -> None:
    """Fifty at once, on pools all of whose connections are dead."""
    fill_pools(scene)
    requests = [scene.request(name) for name in list(REQUESTS) * 7]
    killed = scene.sql(
        "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity"
        " WHERE datname = current_database() AND application_name LIKE 'dibs%'"
    )

    with ThreadPoolExecutor(len(requests)) as threads:
        answers = list(threads.map(lambda request: request.send(), requests))

    assert killed[0][0] >= WORK_CONNECTIONS + LEASE_CONNECTIONS
    assert [answer.text for answer in answers if is_refused(answer)] == []
    assert {request.effects(scene.owner) for request in requests} == {1}


def fill_pools(scene: Scene) -> None:
    """Have every connection of both pools open: so many requests wait for a table."""
    asked = [scene.request("claim-by-id").send for _ in range(WORK_CONNECTIONS)]
    for _ in range(LEASE_CONNECTIONS):
        renewal = scene.request("renew")
        (named,) = renewal.body["leases"]
        path = f"/v1/runs/{named['runId']}/steps/0/start"
        body = {"leaseId": named["leaseId"], "session": renewal.body["session"]}
        asked.append(partial(scene.holder.send, "POST", path, body))
    with ThreadPoolExecutor(len(asked)) as threads:
        with scene.owner.transaction():
            scene.sql('LOCK TABLE "runEvents" IN EXCLUSIVE MODE')
            sent = [threads.submit(ask) for ask in asked]
            eventually(lambda: opened(scene) == len(asked), what="all connections")
        # Their own time may have been up meanwhile, on a slow machine.
        assert {each.result().status_code for each in sent} <= {200, 503}


def opened(scene: Scene) -> int:
    scene.sql("SELECT pg_stat_clear_snapshot()")
    ((count,),) = scene.sql(
        "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database()"
        " AND application_name IN ('dibs', 'dibs-leases')"
    )
    return int(count)
