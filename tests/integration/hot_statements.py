"""The statements that every run passes through, as Dibs sends them."""

from __future__ import annotations

from orchestrator.desk.keeper import BATCH
from orchestrator.store import endings, keeper
from tests.integration.dibs import Dibs
from tests.integration.statements import Statement, captured
from tests.integration.wishes import Executor

_MARKS = {
    "claim": "AS turn",
    "claim_run": "'resumed'",
    "renew": "renewed AS",
    "orphans": "'orphaned'",
    "report": "told AS",
    "release": "'released'",
    "expire": "'expired'",
    "make_due": "due AS",
    "time_out_waits": "late AS",
}


def hot_statements(dibs: Dibs, holder: Executor) -> dict[str, Statement]:
    """
    One of each, by name; three runs have to be there to be claimed.

    Args:
        holder: Who claims them.
    """
    with captured(dibs.database.work) as work, captured(dibs.database.leases) as kept:
        first, second, third = dibs.claim(holder, limit=3).dispatches
        dibs.claim_run(holder, dibs.pending().id)
        dibs.renew(holder, first, second)
        dibs.reconcile(holder, as_of=dibs.now())
        dibs.tell(first, holder, "success")
        dibs.release(holder, second, third)
        with dibs.database.leases.begin() as connection:
            endings.expire(connection, since=dibs.now(), limit=BATCH)
            keeper.make_due(connection, limit=BATCH)
            keeper.time_out_waits(connection, limit=BATCH)
    return {
        name: next(statement for statement in work + kept if mark in statement.text)
        for name, mark in _MARKS.items()
    }
