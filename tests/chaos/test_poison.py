"""Runs that kill whoever executes them: each gets as many leases as it may, the others go on."""

from __future__ import annotations

from collections import Counter
from contextlib import closing
from itertools import cycle, islice
from typing import Any

import psycopg
import pytest

from tests.acceptance.stage import Fleet
from tests.acceptance.waiting import eventually
from tests.chaos.fault import Fault
from tests.chaos.size import sized

POISON = sized(4, 60)
OTHERS = sized(20, 400)
EXECUTORS = sized(2, 6)
WITHIN_SECONDS = sized(60, 600)


@pytest.mark.fault("F51")
def test_poison_gets_as_many_leases_as_it_may_and_the_others_are_executed(
    fleet: Fleet, owner: psycopg.Connection[Any], fault: Fault
) -> None:
    allowed: dict[str, int] = {}
    with closing(fleet.stage.client()) as web:
        for crashes in islice(cycle((1, 2, 3)), POISON):
            allowed[web.create(fleet.queue, "poison", maxCrashes=crashes)] = crashes
        others = web.create_many(
            fleet.queue, OTHERS, "brief", input={"seconds": 0.05}, maxCrashes=100
        )
    executors = [fleet.add(f"e{number}", slots=2) for number in range(EXECUTORS)]

    def over() -> bool:
        for executor in executors:
            if executor.has_ended():
                executor.launch()
        return ended(owner) == {"failed": POISON, "finished": OTHERS}

    eventually(over, within_seconds=WITHIN_SECONDS, what="all are over")

    leases = Counter(
        run_id
        for (run_id,) in owner.execute(
            """SELECT "runId"::text FROM "runEvents" WHERE kind = 'claimed'"""
        )
    )
    codes = owner.execute(
        """SELECT DISTINCT error->>'code' FROM "workflowRuns" WHERE "runState" = 'failed'"""
    )
    assert {run_id: leases[run_id] for run_id in allowed} == allowed
    assert codes.fetchall() == [("crashed-too-often",)]
    assert fleet.journal.executions().keys() == {*allowed, *others}
    fault.injected(sum(allowed.values()))
    fault.core(runs=POISON + OTHERS)


def ended(owner: psycopg.Connection[Any]) -> dict[str, int]:
    """How many runs there are in each state."""
    rows = owner.execute('SELECT "runState", count(*) FROM "workflowRuns" GROUP BY 1')
    return dict(rows.fetchall())
