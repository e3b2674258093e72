"""A long mixed history of many runs, told without a gap by the ledger."""

from __future__ import annotations

import random
import threading
from concurrent.futures import ThreadPoolExecutor

from orchestrator.errors import Conflict, Gone, Overloaded
from tests.integration.dibs import Dibs
from tests.integration.wishes import Executor, held

ROUNDS = 60
ACTS = ("abort", "retry", "resume", "resolve")


def live(dibs: Dibs, executor: Executor, chance: random.Random) -> None:
    """Do what an executor may do, in an order that chance has chosen."""
    for _ in range(ROUNDS):
        dibs.pending(max_crashes=2, max_failures=2)
        for dispatch in dibs.claim(executor, limit=3).dispatches:
            if chance.random() < 0.5:
                dibs.renew(executor, dispatch)
            if chance.random() < 0.3:
                try:
                    dibs.leases.start_step(
                        held(dispatch, executor), step_index=dispatch.run.step_index
                    )
                except Conflict:
                    continue
            end = chance.choice(
                ["success", "error", "unknown", "awaiting-input", "later", "release", "", "expire"]
            )
            if end == "release":
                dibs.release(executor, dispatch, reason=chance.choice(["draining", "broken"]))
            elif end == "expire":
                dibs.sql(
                    'UPDATE "workflowRuns" SET "leaseExpiresAt" = clock_timestamp()'
                    ' WHERE "leaseId" = %s',
                    dispatch.lease.id,
                )
            elif end:
                dibs.tell(
                    dispatch,
                    executor,
                    end,
                    message="no",
                    waiting_for='{"reason": "input"}' if end == "awaiting-input" else None,
                    available_at=dibs.now() if end == "later" else None,
                )


def operate(dibs: Dibs, chance: random.Random, done: threading.Event) -> None:
    """Do what operators and the keeper may do until all are done, and each act was done once."""
    taken: set[str] = set()
    while not (done.is_set() and taken >= set(ACTS)):
        runs = dibs.sql('SELECT id FROM "workflowRuns" ORDER BY random() LIMIT 5')
        for run in runs:
            act = chance.choice(ACTS)
            try:
                if act == "resolve":
                    dibs.resolve(run["id"], chance.choice(["done", "run-again", "abort"]))
                else:
                    getattr(dibs, act)(run["id"])
                taken.add(act)
            except (Conflict, Gone, Overloaded):
                continue
        dibs.sql(
            'UPDATE keeper SET "lastTickAt" = "lastTickAt" - interval \'1 s\','
            ' "amnestySince" = NULL'
        )
        dibs.beat()


def test_after_a_long_mixed_history_every_ledger_is_whole(dibs: Dibs) -> None:
    """The `dibs` fixture checks every ledger at the end; here the story is told."""
    done = threading.Event()
    executors = [Executor(f"fleet:{number}") for number in range(3)]
    with ThreadPoolExecutor(4) as threads:
        operator = threads.submit(operate, dibs, random.Random(0), done)
        lives = [
            threads.submit(live, dibs, executor, random.Random(number))
            for number, executor in enumerate(executors)
        ]
        try:
            for each in lives:
                each.result()
        finally:
            done.set()
        operator.result()

    kinds = {row["kind"] for row in dibs.sql('SELECT DISTINCT kind FROM "runEvents"')}
    assert kinds >= {
        "created",
        "claimed",
        "started",
        "step-started",
        "reported",
        "released",
        "expired",
        "due",
        "aborted",
        "abort-requested",
        "retried",
        "resumed",
        "resolved",
    }
    assert dibs.sql('SELECT count(*) FROM "workflowRuns"') == [{"count": 3 * ROUNDS}]
