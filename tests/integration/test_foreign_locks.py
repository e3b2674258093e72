"""Somebody locks rows of runs and says nothing: the others flow past, and he is thrown out."""

from __future__ import annotations

import time
from collections.abc import Callable
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

LOCKED = 5
FREE = 200
THROWN_OUT = "idle-in-transaction timeout"


@pytest.mark.fault("F40")
def test_runs_that_a_silent_session_holds_locked_hold_up_no_others_and_come_back(
    dibs: Dibs, executor: Executor, database: Database, fault: Fault
) -> None:
    unhindered_seconds = claimed_one_by_one(dibs, executor)
    locked = [dibs.pending().id for _ in range(LOCKED)]
    with closing(psycopg.connect(database.service_url)) as silent:
        silent.execute('SELECT FROM "workflowRuns" WHERE id = ANY (%s) FOR UPDATE', [locked])
        fault.injected(LOCKED)

        # As long as this is measured it says something now and then.
        hindered_seconds = claimed_one_by_one(
            dibs, executor, between=lambda: silent.execute("SELECT 1")
        )
        # Its own time-out ends it: nobody had to know about it.
        freed = eventually(lambda: claimed(dibs, executor, limit=LOCKED), what="it was thrown out")
        with pytest.raises(psycopg.Error, match=THROWN_OUT):
            silent.execute("SELECT 1")

    fault.core(runs=LOCKED + 2 * FREE, lost=len(set(locked) ^ set(freed)))
    pace = unhindered_seconds / hindered_seconds
    fault.note(f"claims kept {pace:.0%} of their pace beside it")


def claimed_one_by_one(
    dibs: Dibs, executor: Executor, *, between: Callable[[], object] = lambda: None
) -> float:
    """Create runs and claim them one by one; the seconds that a claim took, by the median."""
    made, got, took_seconds = set(), set(), []
    for _ in range(FREE):
        between()
        made.add(dibs.pending().id)
    for _ in range(FREE):
        between()
        began = time.monotonic()
        got.update(claimed(dibs, executor))
        took_seconds.append(time.monotonic() - began)

    assert got == made
    return median(took_seconds)


def claimed(dibs: Dibs, executor: Executor, *, limit: int = 1) -> list[UUID]:
    """The runs that a claim gets now."""
    return [each.run.id for each in dibs.claim(executor, limit=limit).dispatches]
