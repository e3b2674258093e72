"""Creates of one run each that come together: one transaction, each answered its own."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import Future
from contextlib import AbstractContextManager
from functools import partial
from typing import Any

import psycopg
import pytest
from sqlalchemy import event
from sqlalchemy.exc import DBAPIError

from orchestrator.desk.creates import Created, Wanted
from orchestrator.errors import IdempotencyKeyReused, RunAlreadyActive
from orchestrator.store import runs as store
from tests.database import Database
from tests.integration.dibs import Dibs
from tests.integration.gathered import WAIT_SECONDS, commits, patient, together
from tests.integration.wishes import new_run

Changes = dict[str, Any]
Together = Callable[..., AbstractContextManager[list[Future[list[Created]]]]]

KEYED: Changes = {"idempotency_key": "k", "request_hash": b"h" * 32}
OTHER_BODY: Changes = {"idempotency_key": "k", "request_hash": b"x" * 32}
DEDUPED: Changes = {"dedup_key": "order-7"}
OR_THE_LIVE_ONE: Changes = {"dedup_key": "order-7", "return_active": True}


@pytest.fixture(autouse=True)
def slow_machine(database: Database, owner: psycopg.Connection) -> Iterator[None]:
    with patient(database, owner):
        yield


@pytest.fixture
def create_together(dibs: Dibs) -> Together:
    """Let creates come together, each the plainest one but for these changes."""

    def create_together(*wishes: Changes) -> AbstractContextManager[list[Future[list[Created]]]]:
        works = [partial(dibs.creates.create, [wanted(**changes)]) for changes in wishes]
        return together(
            dibs.database.work, dibs.creates._gathering, partial(dibs.create, queue="first"), works
        )

    return create_together


def wanted(*, return_active: bool = False, **changes: Any) -> Wanted:
    return Wanted(new_run(**changes), return_active=return_active)


def made(future: Future[list[Created]]) -> Created:
    (created,) = future.result(WAIT_SECONDS)
    return created


def refusal(future: Future[list[Created]]) -> Any:
    return future.exception(WAIT_SECONDS)


def runs(dibs: Dibs) -> int:
    """How many runs there are beside the one that held up the others."""
    return int(
        dibs.sql("""SELECT count(*) FROM "workflowRuns" WHERE queue <> 'first'""")[0]["count"]
    )


def test_creates_that_come_together_are_written_with_one_commit(
    dibs: Dibs, create_together: Together
) -> None:
    with (
        commits(dibs.database.work) as committed,
        create_together(*({"input": str(number)} for number in range(20))) as futures,
    ):
        created = [made(future) for future in futures]

    assert len(committed) == 2
    assert [dibs.row(each.run.id)["input"] for each in created] == list(range(20))
    assert all(each.created for each in created)
    assert runs(dibs) == 20


def test_a_repeat_finds_its_run_and_its_neighbours_are_made(
    dibs: Dibs, create_together: Together
) -> None:
    first = dibs.create(**KEYED)
    with create_together({}, KEYED, {}) as (one, repeat, other):
        assert (made(repeat).created, made(repeat).run.id) == (False, first.run.id)
        assert made(one).created
        assert made(other).created


def test_a_key_with_another_body_is_refused_and_its_neighbours_are_made(
    dibs: Dibs, create_together: Together
) -> None:
    first = dibs.create(**KEYED)
    with create_together({}, OTHER_BODY, {}) as (one, reused, other):
        refused = refusal(reused)
        assert isinstance(refused, IdempotencyKeyReused)
        # What it would be told if nobody came beside it.
        assert refused.members == {"runId": str(first.run.id), "index": 0}
        assert made(one).created
        assert made(other).created
    assert runs(dibs) == 3


def test_a_live_run_with_the_dedup_key_refuses_one_is_given_to_another(
    dibs: Dibs, create_together: Together
) -> None:
    live = dibs.pending(**DEDUPED)
    with create_together({}, DEDUPED, OR_THE_LIVE_ONE, {}) as (one, refuses, returns, other):
        refused = refusal(refuses)
        assert isinstance(refused, RunAlreadyActive)
        assert refused.members == {"runId": str(live.id), "runState": "pending", "index": 0}
        assert (made(returns).created, made(returns).run.id) == (False, live.id)
        assert made(one).created
        assert made(other).created
    assert runs(dibs) == 3


def test_of_two_with_one_key_that_come_together_one_is_made_and_both_get_it(
    dibs: Dibs, create_together: Together
) -> None:
    with create_together({}, KEYED, KEYED, {}) as (one, first, second, other):
        assert made(first).run.id == made(second).run.id
        assert sorted([made(first).created, made(second).created]) == [False, True]
        assert made(one).created
        assert made(other).created
    assert runs(dibs) == 3


def test_of_two_bodies_with_one_key_that_come_together_one_is_refused(
    dibs: Dibs, create_together: Together
) -> None:
    with create_together({}, KEYED, OTHER_BODY, {}) as (one, first, second, other):
        kinds = [type(refusal(first)), type(refusal(second))]
        assert sorted(kind.__name__ for kind in kinds) == ["IdempotencyKeyReused", "NoneType"]
        assert made(one).created
        assert made(other).created
    assert runs(dibs) == 3


def test_of_two_with_one_dedup_key_that_come_together_one_is_refused(
    dibs: Dibs, create_together: Together
) -> None:
    with create_together({}, DEDUPED, DEDUPED, {}) as (one, first, second, other):
        kinds = [type(refusal(first)), type(refusal(second))]
        assert sorted(kind.__name__ for kind in kinds) == ["NoneType", "RunAlreadyActive"]
        assert made(one).created
        assert made(other).created
    assert runs(dibs) == 3


def test_of_two_that_take_the_live_one_and_come_together_one_makes_it(
    dibs: Dibs, create_together: Together
) -> None:
    with create_together(OR_THE_LIVE_ONE, OR_THE_LIVE_ONE) as (first, second):
        assert made(first).run.id == made(second).run.id
        assert sorted([made(first).created, made(second).created]) == [False, True]
    assert runs(dibs) == 1


def test_one_whose_live_run_ends_meanwhile_is_made_by_itself_its_neighbours_before(
    dibs: Dibs, create_together: Together
) -> None:
    live = dibs.pending(**DEDUPED)

    def end_it(
        _connection: object, _cursor: object, statement: str, values: dict[str, Any], *_: object
    ) -> None:
        # It was in the way; when it is looked for it is so no more.
        if 'INSERT INTO "workflowRuns"' in statement and len(values["ids"]) == 3:
            dibs.abort(live.id)

    event.listen(dibs.database.work, "after_cursor_execute", end_it)
    with create_together({}, DEDUPED, {}) as futures:
        created = [made(future).created for future in futures]
    event.remove(dibs.database.work, "after_cursor_execute", end_it)

    assert created == [True, True, True]
    assert (dibs.state(live.id), runs(dibs)) == ("aborted", 4)


def test_a_value_that_the_database_refuses_does_not_fail_its_neighbours(
    dibs: Dibs, create_together: Together
) -> None:
    with create_together({}, {"input": r'"\u0000"'}, {}) as (one, bad, other):
        assert isinstance(refusal(bad), DBAPIError)
        assert made(one).created
        assert made(other).created
    assert runs(dibs) == 2


@pytest.mark.parametrize("key", [KEYED, DEDUPED], ids=["idempotency-key", "dedup-key"])
@pytest.mark.parametrize("end", ["commit", "rollback"])
def test_one_whose_key_another_transaction_holds_waits_for_it_and_its_neighbours_do_not(
    dibs: Dibs, create_together: Together, key: Changes, end: str
) -> None:
    with dibs.database.work.connect() as holder:
        # It has written its run, and not committed.
        (held,) = store.create(holder, [new_run(**key)])
        with create_together({}, {**key, "return_active": True}, {}) as (one, keyed, other):
            assert made(one).created
            assert made(other).created
            waited = not keyed.done()
            getattr(holder, end)()

            assert (made(keyed).run.id == held.id) is (end == "commit")
            assert made(keyed).created is (end == "rollback")
    assert waited


def test_a_batch_of_one_request_shares_its_transaction_with_nobody(
    dibs: Dibs, create_together: Together
) -> None:
    dibs.pending(**DEDUPED)
    with create_together({}) as (one,):
        batch = [wanted(), wanted(**DEDUPED)]
        with pytest.raises(RunAlreadyActive) as refused:
            dibs.creates.create(batch)
        assert refused.value.members["index"] == 1
        assert made(one).created
    assert runs(dibs) == 2
