"""The audit: who did what, for those who watch."""

from __future__ import annotations

from flask import Response

from orchestrator.api.access import WATCHERS, allow, caller
from orchestrator.api.blueprint import blueprint, refuses
from orchestrator.api.bodies import operator_act_body
from orchestrator.api.paging import page_answer
from orchestrator.api.wire.audit import ActPage, ActsQuery
from orchestrator.errors import InvalidCursor
from orchestrator.store.operator_acts import ActFilter, list_acts

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
    queues = caller().queues
    return page_answer(
        asked,
        lambda connection, before, limit: list_acts(
            connection,
            queue_patterns=queues,
            wanted=ActFilter(asked.actor, asked.kind, asked.subject),
            before=before,
            limit=limit,
        ),
        operator_act_body,
    )
