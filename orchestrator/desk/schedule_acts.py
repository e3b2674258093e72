"""What somebody does to a schedule: let it run now, pause it, let it go on."""

from __future__ import annotations

from dataclasses import replace
from uuid import UUID

from sqlalchemy import Connection

from orchestrator.desk.schedules import create_run, next_due
from orchestrator.errors import NotFound, ValidationFailed
from orchestrator.firing import BadSchedule
from orchestrator.lifecycle import covers
from orchestrator.store import operator_acts
from orchestrator.store import schedules as store
from orchestrator.store.activity import Counted
from orchestrator.store.engine import Database
from orchestrator.store.operator_acts import OperatorAct
from orchestrator.store.schedules import Schedule
from orchestrator.store.transaction import transact


def visible_schedule(connection: Connection, name: str, queues: tuple[str, ...]) -> Schedule:
    """
    A schedule that creates runs in one of these queues.

    Raises:
        NotFound: There is none of this name, or it is of another queue.
    """
    return _seen(store.find(connection, name), name, queues)


def run_now(
    database: Database, name: str, *, key: str, line: OperatorAct, queues: tuple[str, ...]
) -> UUID | None:
    """
    Create a run of a schedule beside its times; paused or not, overlap counts.

    Args:
        key: Of each key of the actor there is one run, for as long as that is kept.
        line: Who runs it.

    Returns:
        The run's id; None: one lives and overlap is `skip`.

    Raises:
        NotFound: As `visible_schedule`.
    """

    def write(connection: Connection) -> tuple[str, UUID | None]:
        # Locked before the run is created, as the keeper does it: the other way round the
        # two could wait for each other, at the row and at the dedupKey.
        schedule = _seen(store.lock(connection, name), name, queues)
        run_id = create_run(connection, schedule, key=f"run-now:{line.actor}:{key}", line=line)
        return schedule.queue, run_id

    queue, run_id = transact(database.work, write)
    if run_id is not None:
        database.tally.count(Counted.CREATED, queue)
    return run_id


def set_paused(
    database: Database, name: str, *, paused: bool, line: OperatorAct, queues: tuple[str, ...]
) -> None:
    """
    Let a schedule fire no more, or again, first at its next due time. Repeatable.

    Args:
        line: Who says so; not noted when it was so already.

    Raises:
        NotFound: As `visible_schedule`.
        ValidationFailed: This machine does not know its time zone any more.
    """

    def write(connection: Connection) -> None:
        schedule = _seen(store.lock(connection, name), name, queues)
        if schedule.paused is paused:
            return
        try:
            next_at = next_due(connection, schedule.cron, schedule.time_zone)
        except BadSchedule as wrong:
            raise ValidationFailed([{"path": "/timeZone", "message": str(wrong)}]) from None
        store.set_paused(connection, name, paused=paused, next_at=next_at, actor=line.actor)
        operator_acts.note(
            connection, replace(line, queue=schedule.queue, detail={"paused": paused})
        )

    transact(database.work, write)


def _seen(found: Schedule | None, name: str, queues: tuple[str, ...]) -> Schedule:
    if found is None or not covers(queues, found.queue):
        raise NotFound(f"There is no schedule {name} among the queues of this token.")
    return found
