"""What claims are told that got nothing: why, and when to ask again."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from sqlalchemy import Connection

from orchestrator.desk.allowances import Freeing
from orchestrator.desk.wishes import ClaimAnswer, Wish
from orchestrator.store import claim_requests, executors
from orchestrator.store.claim_requests import Key
from orchestrator.store.executors import OutOfService
from orchestrator.store.incidents import Process

# What an executor waits that is out of service, until somebody has put it back.
OUT_OF_SERVICE_POLL_MS = 5_000
# What one waits that holds all that it may, until it has reported some of it.
FULL_POLL_MS = 1_000


def empty_answers(
    connection: Connection,
    wishes: Sequence[Wish],
    freeing: Mapping[str, Freeing],
    full: Mapping[Process, OutOfService],
) -> dict[Key, ClaimAnswer]:
    """
    What those are told who were granted nothing now; who was before is left out.

    Args:
        freeing: The queues whose rate is used up.
        full: Who holds all that it may.
    """
    granted = claim_requests.granted(connection, [wish.key for wish in wishes])
    out = executors.out_of_service(connection, [wish.process for wish in wishes])
    answers: dict[Key, ClaimAnswer] = {}
    for wish in wishes:
        if wish.key not in granted:
            why = out.get(wish.process)
            pause_ms = OUT_OF_SERVICE_POLL_MS if why else _freed_after_ms(wish, freeing)
            if why is None and (why := full.get(wish.process)):
                pause_ms = FULL_POLL_MS
            answers[wish.key] = ClaimAnswer((), pause_ms, replayed=False, out_of_service=why)
    return answers


def _freed_after_ms(wish: Wish, freeing: Mapping[str, Freeing]) -> int:
    """When the first of a wish's queues allows more whose rate is used up; 0: none is."""
    return min(
        (
            math.ceil(1_000 * freeing[queue].after_seconds)
            for queue in wish.queues
            if queue in freeing
        ),
        default=0,
    )
