"""The audit: who did what, for those who watch."""

from __future__ import annotations

from flask import Response

from orchestrator.api.access import WATCHERS, allow, caller
from orchestrator.api.answer import answer
from orchestrator.api.blueprint import blueprint, refuses
from orchestrator.api.bodies import operator_act_body
from orchestrator.api.context import services
from orchestrator.api.cursor import make_cursor, read_cursor
from orchestrator.api.wire.audit import ActPage, ActsQuery
from orchestrator.errors import InvalidCursor
from orchestrator.store.operator_acts import ActFilter, list_acts
from orchestrator.store.transaction import transact

audit = blueprint("audit")


@audit.get("/v1/audit")
@allow(WATCHERS)
@refuses(InvalidCursor)
@audit.input(ActsQuery, location="query", arg_name="asked")
@audit.output(ActPage)
def list_all(asked: ActsQuery) -> Response:
    """Acts of operators, clients and the command line on the token's queues, newest first.

    What concerns no single queue is shown to tokens for all queues. Creates, and what
    executors do, are in the runs' own events.
    """
    shared, who = services(), caller()
    key, filters = shared.settings.secret_key.get_secret_value().encode(), asked.filters()
    before = None
    if asked.cursor is not None:
        before = read_cursor(key, asked.cursor, token_name=who.name, filters=filters)
    # One more than asked tells whether there is another page.
    found = transact(
        shared.database.work,
        lambda connection: list_acts(
            connection,
            queue_patterns=who.queues,
            wanted=ActFilter(asked.actor, asked.kind),
            before=before,
            limit=asked.limit + 1,
        ),
    )
    page, has_more = found[: asked.limit], len(found) > asked.limit
    cursor = None
    if has_more:
        cursor = make_cursor(key, page[-1].id, token_name=who.name, filters=filters)
    return answer({"items": [operator_act_body(act) for act in page], "nextCursor": cursor})
