"""Schedules: put, read, delete, and run now."""

from __future__ import annotations

from dataclasses import replace
from typing import Any
from uuid import uuid4

from flask import Response
from sqlalchemy import Connection

from orchestrator.api.access import OPERATORS, WATCHERS, allow, caller
from orchestrator.api.answer import answer
from orchestrator.api.asked_act import asked_act
from orchestrator.api.blueprint import blueprint, refuses, takes
from orchestrator.api.context import services
from orchestrator.api.parameters import IDEMPOTENCY_KEY, idempotency_key, name_of
from orchestrator.api.payload import payload_text
from orchestrator.api.queue_access import require_queues
from orchestrator.api.repeats import BY_KEY, NATURALLY, repeats
from orchestrator.api.wire.members import NoMembers
from orchestrator.api.wire.schedules import (
    RunNow,
    ScheduleDefinition,
    ScheduleList,
    ScheduleView,
)
from orchestrator.desk import schedule_acts
from orchestrator.desk.schedule_acts import visible_schedule
from orchestrator.desk.schedules import next_due
from orchestrator.errors import IdempotencyKeyInvalid, NotFound, ValidationFailed
from orchestrator.firing import BadSchedule
from orchestrator.lifecycle import ActKind, covers
from orchestrator.store import operator_acts
from orchestrator.store import schedules as store
from orchestrator.store.transaction import transact

schedules = blueprint("schedules")


@schedules.put("/v1/schedules/<name>")
@allow(OPERATORS)
@refuses(NotFound)
@repeats(NATURALLY, "The same content is the same schedule.")
@schedules.input(ScheduleDefinition, arg_name="asked")
@schedules.output(ScheduleView)
def put(name: str, asked: ScheduleDefinition) -> Response:
    """Create a schedule, or change it. It fires at the next due time from now on."""
    require_queues(caller(), [asked.queue])
    known, actor = name_of(name), caller().name
    # Not the input: it may hold anything.
    line = asked_act(
        ActKind.PUT_SCHEDULE,
        known,
        queue=asked.queue,
        **asked.model_dump(mode="json", by_alias=True, exclude={"input", "queue"}),
    )

    def write(connection: Connection) -> store.Schedule:
        if store.find(connection, known) is not None:
            visible_schedule(connection, known, caller().queues)
        store.put(
            connection,
            store.NewSchedule(
                name=known,
                workflow=asked.workflow,
                cron=asked.cron,
                time_zone=asked.time_zone,
                input=payload_text(asked.input, "/input"),
                queue=asked.queue,
                overlap=asked.overlap,
                paused=asked.paused,
                next_at=next_due(connection, asked.cron, asked.time_zone),
                actor=actor,
            ),
        )
        operator_acts.note(connection, line)
        return visible_schedule(connection, known, caller().queues)

    try:
        return answer(_body(transact(services().database.work, write)))
    except BadSchedule as wrong:
        path = "/timeZone" if "time zone" in str(wrong) else "/cron"
        raise ValidationFailed([{"path": path, "message": str(wrong)}]) from None


@schedules.get("/v1/schedules")
@allow(WATCHERS)
@schedules.output(ScheduleList)
def list_all() -> Response:
    """Every schedule of the token's queues, by name."""
    found = transact(services().database.work, store.list_schedules)
    seen = [schedule for schedule in found if covers(caller().queues, schedule.queue)]
    return answer({"items": [_body(schedule) for schedule in seen]})


@schedules.get("/v1/schedules/<name>")
@allow(WATCHERS)
@refuses(NotFound)
@schedules.output(ScheduleView)
def show(name: str) -> Response:
    """One schedule."""
    known = name_of(name)
    found = transact(
        services().database.work,
        lambda connection: visible_schedule(connection, known, caller().queues),
    )
    return answer(_body(found))


@schedules.delete("/v1/schedules/<name>")
@allow(OPERATORS)
@refuses(NotFound)
@repeats(NATURALLY, "It is gone, and a second copy is answered 404.")
@schedules.output({}, 204)
def delete(name: str) -> Response:
    """Forget a schedule; the runs that it created stay."""
    known = name_of(name)
    line = asked_act(ActKind.DELETE_SCHEDULE, known)

    def write(connection: Connection) -> None:
        found = visible_schedule(connection, known, caller().queues)
        if store.delete(connection, known):
            operator_acts.note(connection, replace(line, queue=found.queue))

    def look_up(connection: Connection) -> None:
        # It was there: when it is gone now, it was this request.
        if store.find(connection, known) is not None:
            write(connection)

    transact(services().database.work, write, look_up=look_up)
    return Response(status=204)


@schedules.post("/v1/schedules/<name>/run-now")
@allow(OPERATORS)
@refuses(NotFound, IdempotencyKeyInvalid)
@repeats(BY_KEY, "With an Idempotency-Key a repeat gets the run of the first one.")
@takes(IDEMPOTENCY_KEY)
@schedules.input(NoMembers, arg_name="_asked")
@schedules.output(RunNow)
def run_now(name: str, _asked: NoMembers) -> Response:
    """Create a run of a schedule beside its times; paused or not, overlap counts."""
    known = name_of(name)
    run_id = schedule_acts.run_now(
        services().database,
        known,
        key=idempotency_key() or str(uuid4()),
        line=asked_act(ActKind.RUN_SCHEDULE, known),
        queues=caller().queues,
    )
    return answer({"runId": run_id})


def _body(schedule: store.Schedule) -> dict[str, Any]:
    return {
        "name": schedule.name,
        "workflow": schedule.workflow,
        "cron": schedule.cron,
        "timeZone": schedule.time_zone,
        "input": schedule.input,
        "queue": schedule.queue,
        "overlap": schedule.overlap,
        "paused": schedule.paused,
        "nextAt": schedule.next_at,
        "lastAt": schedule.last_at,
        "lastRunId": schedule.last_run_id,
        "changedBy": schedule.changed_by,
        "changedAt": schedule.changed_at,
    }
