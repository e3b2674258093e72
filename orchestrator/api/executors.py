"""Executors: they register, and operators drain them or hold them in quarantine."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from flask import Response
from sqlalchemy import Connection

from orchestrator.api.access import EXECUTORS, OPERATORS, WATCHERS, allow, caller
from orchestrator.api.answer import answer
from orchestrator.api.asked_act import asked_act
from orchestrator.api.blueprint import blueprint, refuses
from orchestrator.api.bodies import Body, executor_body
from orchestrator.api.context import services
from orchestrator.api.parameters import full_name, name_of, request_id
from orchestrator.api.payload import json_text
from orchestrator.api.queue_access import require_queues
from orchestrator.api.repeats import NATURALLY, repeats
from orchestrator.api.wire.executors import Act, ExecutorList, Registered, Registration
from orchestrator.desk.arrivals import arrivals
from orchestrator.desk.executors import ACTS, Service, seen_by, set_service
from orchestrator.errors import NotFound
from orchestrator.store import executors as store
from orchestrator.store.activity import Counted
from orchestrator.store.endings import release_replaced
from orchestrator.store.tally import moved
from orchestrator.store.transaction import transact
from orchestrator.store.verdict import EndedLease

executors = blueprint("executors")


@executors.put("/v1/executors/<instance>")
@allow(EXECUTORS)
@refuses(NotFound)
@repeats(NATURALLY, "The last word of a session counts; what `replaces` ended is ended.")
@executors.input(Registration, arg_name="asked")
@executors.output(Registered)
def register(instance: str, asked: Registration) -> Response:
    """Register a process of the caller's own.

    With `replaces: "others"` the leases of every other session of this name end at once.
    """
    require_queues(caller(), asked.queues)
    name, actor, asked_by = full_name(name_of(instance)), caller().name, request_id()
    registration = store.Registration(
        full_name=name,
        session=asked.session,
        token_name=actor,
        version=asked.version,
        slots=asked.slots,
        queues=tuple(asked.queues),
        step_types=tuple(asked.step_types),
        labels=json_text(asked.labels),
        url=asked.url,
        draining=asked.draining,
    )

    database = services().database

    def write(connection: Connection) -> tuple[Sequence[EndedLease], Mapping[str, int]]:
        store.register(connection, registration)
        if asked.replaces is None:
            return [], {}
        ended = release_replaced(
            connection, executor=name, session=asked.session, request_id=asked_by, actor=actor
        )
        arrived = arrivals(connection, ended) + database.limits.freed(ended)
        return ended, arrived

    replaced, arrived = transact(database.leases, write)
    database.tally.add(moved(replaced, Counted.EXPIRED))
    database.slots.forget((name, asked.session))
    database.arrived(arrived)
    released = [lease.run_id for lease in replaced]
    return answer({"name": name, "session": asked.session, "released": released})


@executors.get("/v1/executors")
@allow(WATCHERS)
@executors.output(ExecutorList)
def list_all() -> Response:
    """Every known session that serves one of the token's queues, the last seen first.

    Of the queues that it serves it shows those that the token is for.
    """
    found = transact(services().database.work, store.list_executors)
    return answer({"items": _bodies(found, caller().queues)})


@executors.post("/v1/executors/<name>/drain")
@allow(OPERATORS)
@refuses(NotFound)
@repeats(NATURALLY, "It is draining, however often it is told.")
@executors.input(Act, arg_name="asked")
@executors.output(ExecutorList)
def drain(name: str, asked: Act) -> Response:
    """Hand nothing more to an executor; what it holds it may finish."""
    return _set_service(name, Service.DRAINING, asked.reason)


@executors.post("/v1/executors/<name>/quarantine")
@allow(OPERATORS)
@refuses(NotFound)
@repeats(NATURALLY, "It is in quarantine, however often it is told.")
@executors.input(Act, arg_name="asked")
@executors.output(ExecutorList)
def quarantine(name: str, asked: Act) -> Response:
    """Hand nothing more to an executor that does harm, until it is resumed."""
    return _set_service(name, Service.QUARANTINED, asked.reason)


@executors.post("/v1/executors/<name>/resume")
@allow(OPERATORS)
@refuses(NotFound)
@repeats(NATURALLY, "It is active, however often it is told.")
@executors.input(Act, arg_name="asked")
@executors.output(ExecutorList)
def resume(name: str, asked: Act) -> Response:
    """Hand runs to an executor again."""
    return _set_service(name, Service.ACTIVE, asked.reason)


def _set_service(name: str, service: Service, reason: str | None) -> Response:
    queues, line = caller().queues, asked_act(ACTS[service], name, reason=reason)
    changed = set_service(
        services().database, name, service, reason=reason, line=line, queues=queues
    )
    return answer({"items": _bodies(changed, queues)})


def _bodies(sessions: list[store.Executor], queues: tuple[str, ...]) -> list[Body]:
    return [executor_body(each) for each in seen_by(sessions, queues)]
