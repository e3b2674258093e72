"""Dibs without its HTTP face: the desks, on a database of the test's own."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from datetime import datetime
from typing import Any
from uuid import UUID, uuid4

import orjson
import psycopg
from psycopg.rows import dict_row

from orchestrator.desk import acts, run_claims
from orchestrator.desk.activity import Activity
from orchestrator.desk.bell import Bell
from orchestrator.desk.census import CensusDesk
from orchestrator.desk.claim_desk import ClaimDesk
from orchestrator.desk.creates import Created, CreateDesk, Wanted
from orchestrator.desk.keeper import Keeper
from orchestrator.desk.leases import LeaseDesk, ReleaseAnswer, RenewAnswer
from orchestrator.desk.report_desk import ReportAnswer, ReportDesk
from orchestrator.desk.signs_of_life import SignsOfLife
from orchestrator.desk.starting_points import StartingPoints
from orchestrator.desk.wishes import ClaimAnswer, Wish
from orchestrator.store import executors
from orchestrator.store.acts import Act
from orchestrator.store.claims import RunWish
from orchestrator.store.engine import open_database
from orchestrator.store.executors import Registration
from orchestrator.store.orphans import Reconciliation
from orchestrator.store.records import Dispatch, Run
from orchestrator.store.reports import Report
from orchestrator.store.transaction import transact
from tests.integration.wishes import QUEUE, Executor, held, new_run, outcome

ALL = ("*",)


class Dibs:
    """
    One orchestrator process; `owner` is the test's own way into the database.

    Its connections are the service's, with the service's rights.
    """

    def __init__(self, service_url: str, owner: psycopg.Connection, *, connections: int = 4):
        self.owner = owner
        self.bell = Bell(service_url)
        self.database = open_database(
            service_url,
            work_connections=connections,
            lease_connections=connections,
            arrived=self.bell.ring,
        )
        self.draining = threading.Event()
        self.signs = SignsOfLife()
        self.points = StartingPoints()
        self.desk = ClaimDesk(
            self.database, self.signs, self.points, parked_limit=8, draining=self.draining
        )
        self.bell.hear = self.desk.ring
        self.creates = CreateDesk(self.database, self.desk)
        self.reports = ReportDesk(self.database)
        self.leases = LeaseDesk(self.database)
        self.set_keeper(awake=True)

    def close(self) -> None:
        self.draining.set()
        self.database.close()

    def create(self, *, return_active: bool = False, **changes: Any) -> Created:
        wanted = Wanted(new_run(**changes), return_active=return_active)
        return self.creates.create([wanted])[0]

    def pending(self, **changes: Any) -> Run:
        """A new run."""
        return self.create(**changes).run

    def claim(self, executor: Executor, **changes: Any) -> ClaimAnswer:
        plain: dict[str, Any] = {
            "token_name": executor.token,
            "key_id": executor.token,
            "executor": executor.name,
            "session": executor.session,
            "request_id": uuid4(),
            "body_hash": b"b" * 32,
            "queues": (QUEUE,),
            "limit": 1,
            "lease_seconds": 30,
            "wait_seconds": 0,
        }
        return self.desk.claim(Wish(**{**plain, **changes}))

    def claim_run(
        self,
        executor: Executor,
        run_id: UUID,
        *,
        input_json: str | None = None,
        request_id: UUID | None = None,
        lease_seconds: int = 30,
        body_hash: bytes = b"b" * 32,
        queue_patterns: tuple[str, ...] = ALL,
    ) -> tuple[Dispatch, bool]:
        wish = RunWish(
            request_id=request_id or uuid4(),
            token_name=executor.token,
            executor=executor.name,
            session=executor.session,
            lease_seconds=lease_seconds,
            run_id=run_id,
            input=input_json,
        )
        return run_claims.claim_run(
            self.database,
            wish,
            body_hash=body_hash,
            queue_patterns=queue_patterns,
            step_queue_patterns=("*",),
            value=None if input_json is None else orjson.loads(input_json),
        )

    def dispatch(self, executor: Executor, *, lease_seconds: int = 30, **changes: Any) -> Dispatch:
        """A new run that this executor holds."""
        run = self.pending(**changes)
        return self.claim_run(executor, run.id, lease_seconds=lease_seconds)[0]

    def begun(self, executor: Executor, **changes: Any) -> Dispatch:
        """A new run that this executor holds, its mutating step begun."""
        dispatch = self.dispatch(executor, **changes)
        self.leases.start_step(held(dispatch, executor), step_index=0)
        return dispatch

    def report(self, *told: Report) -> list[ReportAnswer]:
        return self.reports.report(told)

    def tell(
        self, dispatch: Dispatch, executor: Executor, status: str, **parts: Any
    ) -> ReportAnswer:
        """Report one outcome."""
        return self.report(outcome(dispatch, executor, status, **parts))[0]

    def renew(
        self, executor: Executor, *dispatches: Dispatch, lease_seconds: int | None = None
    ) -> RenewAnswer:
        named = [held(each, executor, lease_seconds=lease_seconds) for each in dispatches]
        return self.leases.renew(named, None)

    def reconcile(
        self,
        executor: Executor,
        *dispatches: Dispatch,
        as_of: datetime,
        claiming: Sequence[UUID] = (),
    ) -> list[UUID]:
        """Renew these and say that no other lease is known; the runs that were freed."""
        answer = self.reconciled(executor, *dispatches, as_of=as_of, claiming=claiming)
        return list(answer.released)

    def reconciled(
        self,
        executor: Executor,
        *dispatches: Dispatch,
        as_of: datetime,
        claiming: Sequence[UUID] = (),
    ) -> RenewAnswer:
        """The same, with all that the executor is told."""
        return self.leases.renew(
            [held(each, executor) for each in dispatches],
            Reconciliation(executor.token, executor.session, tuple(claiming), as_of),
        )

    def release(
        self, executor: Executor, *dispatches: Dispatch, reason: str = "draining"
    ) -> ReleaseAnswer:
        named = [held(each, executor) for each in dispatches]
        return self.leases.release(named, reason=reason)

    def abort(
        self,
        run_id: UUID,
        *,
        key: str | None = None,
        actor: str = "web",
        request_id: str | None = None,
    ) -> Run:
        return acts.abort(self.database, Act(run_id, actor, request_id, key), ALL)

    def retry(self, run_id: UUID, *, key: str | None = None) -> Run:
        return acts.retry(self.database, Act(run_id, "ops", None, key), ALL)

    def resume(self, run_id: UUID, *, input_json: str = "{}", key: str | None = None) -> Run:
        act = Act(run_id, "web", None, key)
        return acts.resume(
            self.database, act, ALL, value=orjson.loads(input_json), input_json=input_json
        )

    def resolve(
        self,
        run_id: UUID,
        as_: str,
        *,
        output_json: str = "{}",
        next_step: str | None = None,
        key: str | None = None,
    ) -> Run:
        act = Act(run_id, "ops", None, key)
        return acts.resolve(
            self.database, act, ALL, as_=as_, output_json=output_json, next_step=next_step
        )

    def register(
        self,
        executor: Executor,
        *,
        step_types: tuple[str, ...] = ("refund",),
        slots: int | None = 4,
        queues: tuple[str, ...] = (QUEUE,),
    ) -> None:
        """Let this process have registered itself."""
        registration = Registration(
            full_name=executor.name,
            session=executor.session,
            token_name=executor.token,
            version=None,
            slots=slots,
            queues=queues,
            step_types=step_types,
            labels="{}",
            url=None,
        )
        transact(
            self.database.work, lambda connection: executors.register(connection, registration)
        )

    def set_executor(self, executor: Executor, state: str) -> None:
        """Drain it, quarantine it or let it go on."""
        transact(
            self.database.work,
            lambda connection: executors.set_state(connection, executor.name, state, reason=None),
        )

    def sql(self, statement: str, *values: Any) -> list[dict[str, Any]]:
        """Run a statement as the owner."""
        cursor = self.owner.cursor(row_factory=dict_row).execute(statement.encode(), values)
        return cursor.fetchall() if cursor.description else []

    def row(self, run_id: UUID) -> dict[str, Any]:
        """A run with every column, by its database name; Python has no infinity for a gated one."""
        return self.sql('SELECT * FROM "workflowRuns" WHERE id = %s', run_id)[0]

    def state(self, run_id: UUID) -> str:
        rows = self.sql('SELECT "runState" FROM "workflowRuns" WHERE id = %s', run_id)
        return str(rows[0]["runState"])

    def is_gated(self, run_id: UUID) -> bool:
        """Whether the run is pending and not let in yet."""
        rows = self.sql(
            'SELECT "gatedClaimKey" IS NOT NULL AS gated FROM "workflowRuns" WHERE id = %s', run_id
        )
        return bool(rows[0]["gated"])

    def events(self, run_id: UUID) -> list[str]:
        """The kinds of a run's events, oldest first."""
        rows = self.sql('SELECT kind FROM "runEvents" WHERE "runId" = %s ORDER BY seq', run_id)
        return [row["kind"] for row in rows]

    def now(self) -> datetime:
        """The database's clock."""
        now: datetime = self.sql("SELECT clock_timestamp() AS now")[0]["now"]
        return now

    def serve_a_copy(self, executor: Executor, request_id: UUID) -> None:
        """Let a copy of this claim be served elsewhere, until the owner's transaction ends."""
        self.sql(
            "SELECT pg_advisory_xact_lock(hashtextextended(%s, 0))",
            f"{executor.token}/{request_id}",
        )

    def expire(self, run_id: UUID) -> None:
        """Let the run's lease have expired."""
        self.sql(
            'UPDATE "workflowRuns" SET "leaseExpiresAt" = clock_timestamp() - interval \'1 ms\''
            " WHERE id = %s",
            run_id,
        )

    def forgive(self) -> None:
        """Let no executor be on its way into quarantine."""
        self.sql("UPDATE incidents SET number = 0")

    def make_due(self, run_id: UUID) -> None:
        """Let the run's time have come."""
        self.sql(
            'UPDATE "workflowRuns" SET "availableAt" = clock_timestamp() - interval \'1 ms\''
            " WHERE id = %s",
            run_id,
        )

    def set_keeper(self, *, awake: bool, prune_is_due: bool = False) -> None:
        """Let the keeper have ticked a second ago, or a minute ago."""
        self.sql(
            'UPDATE keeper SET "lastTickAt" = clock_timestamp() - make_interval(secs => %s),'
            ' "prunedAt" = CASE WHEN %s THEN NULL ELSE clock_timestamp() END',
            1 if awake else 60,
            prune_is_due,
        )

    def beat(self, *, retention_days: int = 30) -> None:
        """One beat of the keeper, if it is due."""
        Keeper(self.database, self.signs, self.points, retention_days=retention_days).tick()

    def tick(self, *, retention_days: int = 30) -> None:
        """One beat of the keeper, due or not."""
        self.sql(
            'UPDATE keeper SET "lastTickAt" = "lastTickAt" - interval \'1 s\''
            " WHERE \"lastTickAt\" > clock_timestamp() - interval '4 s'"
        )
        self.beat(retention_days=retention_days)


def activity_of(dibs: Dibs) -> Activity:
    """What writes down what has happened in an orchestrator; not started."""
    return Activity(dibs.database, CensusDesk(dibs.database))
