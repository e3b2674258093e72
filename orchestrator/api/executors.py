"""Executors: they register, and operators drain them or hold them in quarantine."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

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
from orchestrator.errors import InsufficientScope, NotFound
from orchestrator.lifecycle import EVERY_QUEUE, ActKind, covers
from orchestrator.store import executors as store
from orchestrator.store import operator_acts
from orchestrator.store.activity import Counted
from orchestrator.store.endings import release_replaced
from orchestrator.store.tally import moved
from orchestrator.store.transaction import transact
from orchestrator.store.verdict import EndedLease

executors = blueprint("executors")

ACTIVE, DRAINING, QUARANTINED = "active", "draining", "quarantined"
_KINDS = {
    ACTIVE: ActKind.RESUME_EXECUTOR,
    DRAINING: ActKind.DRAIN_EXECUTOR,
    QUARANTINED: ActKind.QUARANTINE_EXECUTOR,
}


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
    return _set_state(name, DRAINING, asked.reason)


@executors.post("/v1/executors/<name>/quarantine")
@allow(OPERATORS)
@refuses(NotFound)
@repeats(NATURALLY, "It is in quarantine, however often it is told.")
@executors.input(Act, arg_name="asked")
@executors.output(ExecutorList)
def quarantine(name: str, asked: Act) -> Response:
    """Hand nothing more to an executor that does harm, until it is resumed."""
    return _set_state(name, QUARANTINED, asked.reason)


@executors.post("/v1/executors/<name>/resume")
@allow(OPERATORS)
@refuses(NotFound)
@repeats(NATURALLY, "It is active, however often it is told.")
@executors.input(Act, arg_name="asked")
@executors.output(ExecutorList)
def resume(name: str, asked: Act) -> Response:
    """Hand runs to an executor again."""
    return _set_state(name, ACTIVE, asked.reason)


def _set_state(name: str, state: str, reason: str | None) -> Response:
    queues, line = caller().queues, asked_act(_KINDS[state], name, reason=reason)

    def change(connection: Connection) -> list[store.Executor]:
        sessions = _named(connection, name)
        if not any(_is_visible(session, queues) for session in sessions):
            raise NotFound("There is no executor of this name among the queues of this token.")
        if not all(_is_within(session, queues) for session in sessions):
            raise InsufficientScope(f"{name} serves queues that this token is not for.")
        store.set_state(connection, name, state, reason=reason)
        operator_acts.note(connection, replace(line, queue=_only_queue(sessions)))
        return _named(connection, name)

    changed = transact(services().database.work, change)
    return answer({"items": _bodies(changed, queues)})


def _named(connection: Connection, name: str) -> list[store.Executor]:
    return [each for each in store.list_executors(connection) if each.full_name == name]


def _bodies(sessions: list[store.Executor], queues: tuple[str, ...]) -> list[Body]:
    """Those that somebody sees whose token is for these queues, as he sees them."""
    return [
        executor_body(replace(each, queues=[one for one in each.queues if covers(queues, one)]))
        for each in sessions
        if _is_visible(each, queues)
    ]


def _only_queue(sessions: list[store.Executor]) -> str | None:
    """The queue that an executor serves; None when it serves none, or several."""
    served = {queue for executor in sessions for queue in executor.queues}
    return served.pop() if len(served) == 1 else None


def _is_visible(executor: store.Executor, queues: tuple[str, ...]) -> bool:
    # One that does not say what it serves belongs to nobody in particular.
    return not executor.queues or any(covers(queues, queue) for queue in executor.queues)


def _is_within(executor: store.Executor, queues: tuple[str, ...]) -> bool:
    """Whether it is nobody else's, so that these queues' operators may act on it."""
    if not executor.queues:
        return EVERY_QUEUE in queues
    return all(covers(queues, queue) for queue in executor.queues)
