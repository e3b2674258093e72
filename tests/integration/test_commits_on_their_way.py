"""While one request's COMMIT is on its way to the disk, the next is served and answered."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial

import psycopg
import pytest
from sqlalchemy import Connection, Engine, event, text

from orchestrator.desk.creates import Wanted
from orchestrator.store.transaction import transact
from tests.database import Database
from tests.integration.dibs import Dibs
from tests.integration.gathered import WAIT_SECONDS, first_commit_held_up, patient
from tests.integration.wishes import Executor, new_run

Acts = tuple[Engine, Sequence[Callable[[], object]]]


def creates(dibs: Dibs, _: Executor) -> Acts:
    wanted = [[Wanted(new_run(), return_active=False)] for _ in range(2)]
    return dibs.database.work, [partial(dibs.creates.create, one) for one in wanted]


def claims(dibs: Dibs, executor: Executor) -> Acts:
    dibs.pending()
    dibs.pending()
    return dibs.database.work, [partial(dibs.claim, executor)] * 2


def renewals(dibs: Dibs, executor: Executor) -> Acts:
    return dibs.database.leases, [
        partial(dibs.renew, executor, dibs.dispatch(executor)) for _ in range(2)
    ]


def releases(dibs: Dibs, executor: Executor) -> Acts:
    return dibs.database.leases, [
        partial(dibs.release, executor, dibs.dispatch(executor)) for _ in range(2)
    ]


def reports(dibs: Dibs, executor: Executor) -> Acts:
    return dibs.database.leases, [
        partial(dibs.tell, dibs.dispatch(executor), executor, "success") for _ in range(2)
    ]


EVENT = {
    creates: "created",
    claims: "claimed",
    renewals: "started",
    releases: "released",
    reports: "reported",
}


@pytest.mark.parametrize("prepare", EVENT)
def test_the_next_does_not_wait_for_a_commit_on_its_way(
    dibs: Dibs,
    database: Database,
    owner: psycopg.Connection,
    executor: Executor,
    prepare: Callable[[Dibs, Executor], Acts],
) -> None:
    with patient(database, owner):
        engine, (first, second) = prepare(dibs, executor)
        stored = 'SELECT count(*) AS number FROM "runEvents" WHERE kind = %s'
        (before,) = dibs.sql(stored, EVENT[prepare])
        with ThreadPoolExecutor(1) as threads, first_commit_held_up(engine) as (sent, may_go_on):
            committing = threads.submit(first)
            assert sent.wait(WAIT_SECONDS)

            second()

            (meanwhile,) = dibs.sql(stored, EVENT[prepare])
            assert meanwhile["number"] == before["number"] + 1
            assert not committing.done()
            may_go_on.set()
            committing.result(WAIT_SECONDS)
        (after,) = dibs.sql(stored, EVENT[prepare])
        assert after["number"] == before["number"] + 2


def test_what_is_told_of_a_commit_is_told_before_it_and_after_all_else(dibs: Dibs) -> None:
    order: list[str] = []

    def work(connection: Connection) -> None:
        connection.execute(text("SELECT 1"))
        order.append("work")

    def commit(_connection: Connection) -> None:
        order.append("commit")

    event.listen(dibs.database.work, "commit", commit)
    try:
        transact(dibs.database.work, work, committing=lambda: order.append("told"))
    finally:
        event.remove(dibs.database.work, "commit", commit)

    assert order == ["work", "told", "commit"]
