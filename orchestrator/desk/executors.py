"""What an operator says of an executor: drain it, hold it in quarantine, let it go on."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from enum import StrEnum
from typing import Final

from sqlalchemy import Connection

from orchestrator.errors import InsufficientScope, NotFound
from orchestrator.lifecycle import EVERY_QUEUE, ActKind, covers
from orchestrator.store import executors as store
from orchestrator.store import operator_acts
from orchestrator.store.engine import Database
from orchestrator.store.executors import Executor
from orchestrator.store.operator_acts import OperatorAct
from orchestrator.store.transaction import transact


class Service(StrEnum):
    """Whether an executor is handed runs."""

    ACTIVE = "active"
    DRAINING = "draining"
    QUARANTINED = "quarantined"


ACTS: Final = {
    Service.ACTIVE: ActKind.RESUME_EXECUTOR,
    Service.DRAINING: ActKind.DRAIN_EXECUTOR,
    Service.QUARANTINED: ActKind.QUARANTINE_EXECUTOR,
}


def set_service(
    database: Database,
    name: str,
    service: Service,
    *,
    reason: str | None,
    line: OperatorAct,
    queues: tuple[str, ...],
) -> list[Executor]:
    """
    Say of every session of an executor whether it is handed runs. Repeatable.

    Args:
        name: Its full name.
        line: Who says so.
        queues: What his token is for; the executor must serve no other.

    Returns:
        Its sessions, as they are then.

    Raises:
        NotFound: None of them serves one of these queues.
        InsufficientScope: One serves others besides.
    """

    def change(connection: Connection) -> list[Executor]:
        sessions = store.list_executors(connection, full_name=name)
        if not any(_is_visible(session, queues) for session in sessions):
            raise NotFound("There is no executor of this name among the queues of this token.")
        if not all(is_within(session, queues) for session in sessions):
            raise InsufficientScope(f"{name} serves queues that this token is not for.")
        store.set_state(connection, name, service, reason=reason)
        operator_acts.note(connection, replace(line, queue=_only_queue(sessions)))
        return store.list_executors(connection, full_name=name)

    return transact(database.work, change)


def seen_by(sessions: Iterable[Executor], queues: tuple[str, ...]) -> list[Executor]:
    """Those that somebody sees whose token is for these queues, as he sees them."""
    return [
        replace(each, queues=[queue for queue in each.queues if covers(queues, queue)])
        for each in sessions
        if _is_visible(each, queues)
    ]


def is_within(executor: Executor, queues: tuple[str, ...]) -> bool:
    """Whether it is nobody else's, so that these queues' operators may act on it."""
    if not executor.queues:
        return EVERY_QUEUE in queues
    return all(covers(queues, queue) for queue in executor.queues)


def _only_queue(sessions: list[Executor]) -> str | None:
    """The queue that an executor serves; None when it serves none, or several."""
    served = {queue for executor in sessions for queue in executor.queues}
    return served.pop() if len(served) == 1 else None


def _is_visible(executor: Executor, queues: tuple[str, ...]) -> bool:
    # One that does not say what it serves belongs to nobody in particular.
    return not executor.queues or any(covers(queues, queue) for queue in executor.queues)
