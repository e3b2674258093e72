"""The keeper: takes back what expired, wakes what is due, spares the living after an outage."""

from __future__ import annotations

import itertools
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from datetime import timedelta
from types import SimpleNamespace
from uuid import UUID

import psycopg
import pytest
from structlog.testing import capture_logs

from orchestrator.store import keeper, leases
from orchestrator.store.transaction import transact
from tests.acceptance.waiting import eventually
from tests.database import Database
from tests.integration.blocking import waits_now
from tests.integration.dibs import Dibs
from tests.integration.wishes import Executor, held


def refuse(dibs: Dibs, run_id: UUID) -> None:
    """Let every change of this run fail from now on."""
    dibs.owner.execute("""
        CREATE FUNCTION refuse_it() RETURNS trigger LANGUAGE plpgsql AS $$
        BEGIN RAISE EXCEPTION 'never' USING ERRCODE = 'check_violation'; END $$""")
    dibs.owner.execute(
        'CREATE TRIGGER refuse_it BEFORE UPDATE ON "workflowRuns" FOR EACH ROW'
        f" WHEN (OLD.id = '{run_id}') EXECUTE FUNCTION refuse_it()".encode()
    )


def test_a_lease_that_has_not_expired_is_not_taken(dibs: Dibs, executor: Executor) -> None:
    dispatch = dibs.dispatch(executor)
    dibs.tick()

    assert dibs.row(dispatch.run.id)["leaseId"] == dispatch.lease.id


def test_a_lease_that_is_renewed_while_the_keeper_looks_is_not_taken(
    dibs: Dibs, executor: Executor
) -> None:
    """The renewal's COMMIT comes after the keeper has looked: it has passed the run over."""
    dispatch = dibs.dispatch(executor)
    dibs.expire(dispatch.run.id)
    with (
        ThreadPoolExecutor(1) as thread,
        # Left first, so that what waits for the row goes on.
        dibs.database.leases.begin() as holder,
    ):
        leases.renew(holder, [held(dispatch, executor)])
        keeper_looks = thread.submit(dibs.tick)
        eventually(lambda: keeper_looks.done() or waits_now(dibs.owner))
    keeper_looks.result()

    row = dibs.row(dispatch.run.id)
    assert (row["runState"], row["leaseId"]) == ("started", dispatch.lease.id)
    assert row["crashes"] == 0


def test_due_runs_become_pending_and_others_do_not(dibs: Dibs) -> None:
    tomorrow = dibs.now() + timedelta(days=1)
    due, not_due = dibs.pending(available_at=tomorrow), dibs.pending(available_at=tomorrow)
    dibs.make_due(due.id)
    dibs.tick()

    assert (dibs.state(due.id), dibs.state(not_due.id)) == ("pending", "scheduled")
    assert dibs.events(due.id) == ["created", "due"]


def test_a_wait_that_takes_too_long_fails_the_run(dibs: Dibs, executor: Executor) -> None:
    late, patient = dibs.dispatch(executor), dibs.dispatch(executor)
    waiting_for = '{"reason": "input", "timeoutSeconds": 60}'
    dibs.tell(late, executor, "awaiting-input", waiting_for=waiting_for)
    dibs.tell(patient, executor, "awaiting-input", waiting_for='{"reason": "input"}')
    dibs.make_due(late.run.id)
    dibs.tick()

    row = dibs.row(late.run.id)
    assert (row["runState"], row["error"]["code"]) == ("failed", "input-timed-out")
    assert dibs.state(patient.run.id) == "waiting"


def test_after_a_gap_live_executors_get_a_lease_to_renew_before_anything_is_taken(
    dibs: Dibs, executor: Executor
) -> None:
    dispatch = dibs.dispatch(executor, lease_seconds=300)
    dibs.expire(dispatch.run.id)
    dibs.set_keeper(awake=False)
    with capture_logs() as logs:
        dibs.tick()
    spared = dibs.state(dispatch.run.id)
    dibs.sql('UPDATE keeper SET "amnestySince" = "amnestySince" - interval \'200 s\'')
    dibs.tick()
    still_spared = dibs.state(dispatch.run.id)
    dibs.sql('UPDATE keeper SET "amnestySince" = "amnestySince" - interval \'200 s\'')
    dibs.tick()

    assert [line["event"] for line in logs] == ["amnesty_began"]
    assert (spared, still_spared) == ("loading", "loading")
    assert dibs.state(dispatch.run.id) == "pending"


def test_a_clock_that_went_back_is_a_gap_too(dibs: Dibs, executor: Executor) -> None:
    dispatch = dibs.dispatch(executor)
    dibs.expire(dispatch.run.id)
    dibs.sql("UPDATE keeper SET \"lastTickAt\" = clock_timestamp() + interval '10 s'")
    dibs.tick()

    assert dibs.state(dispatch.run.id) == "loading"
    assert dibs.sql('SELECT "amnestySince" IS NOT NULL AS began FROM keeper') == [{"began": True}]


def test_the_first_tick_ever_ends_no_outage(dibs: Dibs, executor: Executor) -> None:
    dispatch = dibs.dispatch(executor)
    dibs.expire(dispatch.run.id)
    dibs.sql('UPDATE keeper SET "lastTickAt" = NULL')
    dibs.tick()

    assert dibs.state(dispatch.run.id) == "pending"


def test_one_bad_row_never_stops_the_rest(dibs: Dibs, executor: Executor) -> None:
    before, bad, after = (dibs.dispatch(executor) for _ in range(3))
    for dispatch in (before, bad, after):
        dibs.expire(dispatch.run.id)
    refuse(dibs, bad.run.id)
    with capture_logs() as logs:
        dibs.tick()

    assert [dibs.state(each.run.id) for each in (before, bad, after)] == [
        "pending",
        "loading",
        "pending",
    ]
    assert [line["item"] for line in logs if line["event"] == "keeper_item_failed"] == [
        str(bad.run.id)
    ]


def test_a_bad_row_of_one_duty_does_not_stop_the_next_duty(dibs: Dibs, executor: Executor) -> None:
    bad = dibs.dispatch(executor)
    dibs.expire(bad.run.id)
    refuse(dibs, bad.run.id)
    due = dibs.pending(available_at=dibs.now() + timedelta(days=1))
    dibs.make_due(due.id)
    dibs.tick()

    assert dibs.state(due.id) == "pending"


def test_more_than_a_batch_is_done_in_one_tick(dibs: Dibs, executor: Executor) -> None:
    dispatch = dibs.dispatch(executor)
    dibs.sql(
        """
        INSERT INTO "workflowRuns" SELECT (copy).* FROM (
          SELECT jsonb_populate_record(r, jsonb_build_object('id', gen_random_uuid(),
                 'leaseId', gen_random_uuid())) AS copy
            FROM "workflowRuns" r, generate_series(1, 600) WHERE r.id = %s) copies""",
        dispatch.run.id,
    )
    dibs.sql("""
        INSERT INTO "runEvents" SELECT r.id, e.seq, e.kind, e.at, e."fromState", e."toState",
          CASE WHEN e."leaseId" IS NOT NULL THEN r."leaseId" END, e.fence, e.executor,
          gen_random_uuid()::text, e.actor, e.detail
          FROM "workflowRuns" r, "runEvents" e
         WHERE NOT EXISTS (SELECT FROM "runEvents" o WHERE o."runId" = r.id)""")
    dibs.sql('UPDATE "workflowRuns" SET "leaseExpiresAt" = clock_timestamp() - interval \'1 s\'')
    dibs.tick()

    assert dibs.sql('SELECT "runState" AS state, count(*) FROM "workflowRuns" GROUP BY 1') == [
        {"state": "pending", "count": 601}
    ]


def test_what_takes_longer_than_a_tick_goes_on_at_the_next(
    dibs: Dibs, executor: Executor, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A batch at least is done, and the others are not kept waiting for the rest."""
    monkeypatch.setattr("orchestrator.desk.keeper.BATCH", 2)
    monkeypatch.setattr("orchestrator.desk.keeper.TICK_WORK_SECONDS", 0.0)
    for _ in range(5):
        dibs.expire(dibs.dispatch(executor).run.id)
    held = 'SELECT count(*) AS number FROM "workflowRuns" WHERE "leaseId" IS NOT NULL'
    left = []
    for _ in range(3):
        dibs.tick()
        left.append(dibs.sql(held)[0]["number"])

    assert left == [3, 1, 0]


def test_one_process_at_a_time_is_the_keeper(dibs: Dibs) -> None:
    together = threading.Barrier(3)

    def turn() -> bool:
        def work(connection: object) -> bool:
            won = keeper.take_turn(connection)  # type: ignore[arg-type]
            together.wait(10)
            return won

        return transact(dibs.database.leases, work)

    with ThreadPoolExecutor(3) as processes:
        turns = [future.result() for future in [processes.submit(turn) for _ in range(3)]]

    assert sorted(turns) == [False, False, True]


def test_two_ticks_in_a_row_are_one(dibs: Dibs) -> None:
    def beat() -> keeper.Tick | None:
        return transact(
            dibs.database.leases,
            lambda connection: keeper.tick(connection, every_seconds=0.2, prune_every_seconds=60),
        )

    first, second = beat(), beat()

    assert first is not None
    assert second is None


def test_a_database_that_is_slow_is_not_away(
    dibs: Dibs, executor: Executor, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every transaction of the keeper takes a second and more; one tick has many of them."""
    clock = itertools.count(start=1_000.0, step=0.7)
    monkeypatch.setattr(
        "orchestrator.desk.keeper.time", SimpleNamespace(monotonic=lambda: next(clock))
    )
    beats = []
    tick = keeper.tick
    monkeypatch.setattr(
        keeper, "tick", lambda *given, **named: beats.append(1) or tick(*given, **named)
    )
    dibs.set_keeper(awake=True, prune_is_due=True)

    dibs.beat()

    assert len(beats) >= 4


@pytest.mark.fault("F40")
def test_a_row_that_somebody_holds_locked_keeps_no_other_duty_waiting(
    dibs: Dibs, executor: Executor, database: Database
) -> None:
    lost = dibs.dispatch(executor, max_crashes=100)
    dibs.expire(lost.run.id)
    dibs.tick()
    dibs.claim_run(executor, lost.run.id)
    dibs.expire(lost.run.id)
    due = dibs.pending(available_at=dibs.now() + timedelta(hours=1))
    dibs.make_due(due.id)
    with closing(psycopg.connect(database.owner_url)) as somebody:
        somebody.execute("SELECT FROM incidents FOR UPDATE")
        dibs.tick()
        assert dibs.state(lost.run.id) == "loading"
    assert dibs.state(due.id) == "pending"
    dibs.tick()
    assert dibs.state(lost.run.id) == "pending"
