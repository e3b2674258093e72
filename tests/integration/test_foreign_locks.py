"""Somebody locks rows of runs and says nothing: the others flow past, and he is thrown out."""

from __future__ import annotations

import time
from contextlib import closing
from statistics import median
from uuid import UUID

import psycopg
import pytest

from tests.acceptance.waiting import eventually
from tests.chaos.fault import Fault
from tests.database import Database
from tests.integration.dibs import Dibs
from tests.integration.wishes import Executor

BESIDE, AWAY = "beside-the-locked", "elsewhere"
LOCKED = 5
FREE = 200
THROWN_OUT = "idle-in-transaction timeout"


@pytest.mark.fault("F40")
def test_runs_that_a_silent_session_holds_locked_hold_up_no_others_and_come_back(
    dibs: Dibs, executor: Executor, database: Database, fault: Fault
) -> None:
    locked = {dibs.pending(queue=BESIDE).id for _ in range(LOCKED)}
    free = {dibs.pending(queue=queue).id for _ in range(FREE) for queue in (BESIDE, AWAY)}
    claimed: set[UUID] = set()
    took_seconds: dict[str, list[float]] = {BESIDE: [], AWAY: []}
    with closing(psycopg.connect(database.service_url)) as silent:
        silent.execute('SELECT FROM "workflowRuns" WHERE id = ANY (%s) FOR UPDATE', [list(locked)])
        fault.injected(LOCKED)
        for _ in range(FREE):
            # As long as this is measured it says something now and then.
            silent.execute("SELECT 1")
            for queue, seconds in took_seconds.items():
                began = time.monotonic()
                claimed |= claim(dibs, executor, queue)
                seconds.append(time.monotonic() - began)
        # Its own time-out ends it: nobody had to know about it.
        freed = eventually(
            lambda: claim(dibs, executor, BESIDE, limit=LOCKED), what="it was thrown out"
        )
        with pytest.raises(psycopg.Error, match=THROWN_OUT):
            silent.execute("SELECT 1")

    assert claimed == free
    fault.core(runs=LOCKED + len(free), lost=len(locked ^ freed))
    pace = median(took_seconds[AWAY]) / median(took_seconds[BESIDE])
    fault.note(f"claims beside what is locked have {pace:.0%} of the pace of others")


def claim(dibs: Dibs, executor: Executor, queue: str, *, limit: int = 1) -> set[UUID]:
    """The runs that a claim gets now."""
    answer = dibs.claim(executor, queues=(queue,), limit=limit)
    return {dispatch.run.id for dispatch in answer.dispatches}
