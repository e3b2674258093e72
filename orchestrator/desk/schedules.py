"""Schedules fire: once for each due time, however many orchestrators run.

The schedule's row is locked, the run is created under a key made of its name
and the due time, and the next due time is written, all in one transaction.
After an outage a schedule fires once for what it missed.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime
from uuid import UUID

import structlog
from sqlalchemy import Connection
from uuid_utils.compat import uuid7

from orchestrator.firing import BadSchedule, next_firing
from orchestrator.store import operator_acts, runs, schedules
from orchestrator.store.leases import server_time
from orchestrator.store.operator_acts import OperatorAct
from orchestrator.store.records import text_of
from orchestrator.store.replication import vouch
from orchestrator.store.runs import AskedBy, NewRun
from orchestrator.store.schedules import Schedule

DEFAULT_BUDGET = 3

log = structlog.get_logger(__name__)


def next_due(connection: Connection, cron: str, time_zone: str) -> datetime | None:
    """
    When a schedule that is put now fires first, by the database's clock.

    Raises:
        BadSchedule: The expression or the zone is wrong.
    """
    return next_firing(cron, time_zone, after=server_time(connection))


def fire_due(connection: Connection, *, limit: int, only: str | None = None) -> list[Schedule]:
    """
    Fire every schedule whose time has come, or this one alone.

    Returns:
        They, with the run that each has now: none when the last one's kept it from having one.
    """
    due = schedules.due(connection, limit=limit, only=only)
    now = server_time(connection)
    found = []
    for schedule in due:
        due_at = schedule.next_at or now
        run_id = create_run(connection, schedule, key=_instant(due_at))
        schedules.fired(
            connection,
            schedule.name,
            at=due_at,
            run_id=run_id,
            next_at=_next_or_never(schedule, after=now),
        )
        found.append(replace(schedule, last_run_id=run_id))
    return found


def fired(_connection: Connection, found: Sequence[Schedule]) -> dict[str, int]:
    """
    The queues that these schedules have created runs in, one each.

    A run whose first step has a queue of its own is found by those that look.
    """
    return Counter(schedule.queue for schedule in found)


def create_run(
    connection: Connection, schedule: Schedule, *, key: str, line: OperatorAct | None = None
) -> UUID | None:
    """
    Create a run of a schedule.

    Args:
        key: Of each key there is one run, for as long as that is kept.
        line: Who runs it now, to be noted when that creates a run; None: the clock does.
            The schedule's row is locked then.

    Returns:
        Its id, also when the key has a run already; None: one lives and overlap is `skip`.
    """
    created = runs.create(
        connection,
        [
            NewRun(
                id=uuid7(),
                workflow=schedule.workflow,
                input=text_of(schedule.input),
                queue=schedule.queue,
                priority=0,
                available_at=None,
                max_failures=DEFAULT_BUDGET,
                max_crashes=DEFAULT_BUDGET,
                dedup_key=f"schedule:{schedule.name}" if schedule.overlap == "skip" else None,
                idempotency_key=key,
                request_hash=b"",
                traceparent=None,
                created_by=f"schedule:{schedule.name}",
                request_id=None if line is None else line.request_id,
            )
        ],
        asked_by=None if line is None else AskedBy(line.actor, line.key_id),
    )
    if created:
        run_id = created[0].id
        if line is not None:
            noted = replace(line, queue=schedule.queue, detail={"runId": str(run_id)})
            operator_acts.note(connection, noted)
            schedules.ran_now(connection, schedule.name, run_id)
        return run_id
    vouch(connection)
    keyed = runs.find_by_idempotency_key(connection, f"schedule:{schedule.name}", key)
    return keyed.run.id if keyed else None


def _next_or_never(schedule: Schedule, *, after: datetime) -> datetime | None:
    """When it fires next; never, when this machine does not know its zone any more."""
    try:
        return next_firing(schedule.cron, schedule.time_zone, after=after)
    except BadSchedule as wrong:
        # Put again, it goes on. Left due, it would stop the others with every tick.
        log.error("schedule_stopped", schedule=schedule.name, reason=str(wrong))
        return None


def _instant(at: datetime) -> str:
    return at.astimezone(UTC).isoformat()
