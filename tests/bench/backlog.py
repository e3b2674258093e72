"""The runs that a sample begins with, and what it has made of them.

Every sample begins with the same tables: emptied, filled again, vacuumed,
analysed, and everything written to disk.
"""

import psycopg
from psycopg import sql

from tests.bench.failure import BenchError
from tests.bench.handlers import NOOP

QUEUE = "bench"
RUNS = "workflowRuns"
TABLES = (RUNS, "runEvents", "workflowSteps", "claimRequests")

# As `orchestrator.store.runs.create` leaves them.
_FILL = """
WITH created AS (
  INSERT INTO {table} (
    id, workflow, queue, "stepQueue", "runState", priority, "availableAt", "claimKey",
    "stepIndex", "stepName", "stepType", input, attempt, failures, crashes, releases,
    "maxFailures", "maxCrashes", fence, "createdBy", "createdAt", version)
  SELECT uuidv7(), %(workflow)s, %(queue)s, %(queue)s, 'pending', 0, clock_timestamp(),
         clock_timestamp(), 0, %(workflow)s, %(workflow)s, '{{}}', 0, 0, 0, 0, 3, 3, 0,
         'bench', clock_timestamp(), 1
    FROM generate_series(1, %(runs)s)
  RETURNING id, "createdAt", "runState")
INSERT INTO "runEvents" ("runId", seq, kind, at, "toState", actor, detail)
SELECT id, 1, 'created', "createdAt", "runState", 'bench', '{{}}' FROM created
"""


def fill(owner: psycopg.Connection, runs: int, *, queue: str = QUEUE, table: str = RUNS) -> None:
    """Empty all tables and make so many pending runs, which do nothing, in one of them."""
    tables = sql.SQL(", ").join(map(sql.Identifier, (*TABLES, table)))
    with owner.transaction():
        # The guards that forbid it protect what people keep; this database is the bench's own.
        owner.execute("SET LOCAL session_replication_role = replica")
        owner.execute(sql.SQL("TRUNCATE {}").format(tables))
    if runs:
        owner.execute(
            sql.SQL(_FILL).format(table=sql.Identifier(table)),
            {"workflow": NOOP, "queue": queue, "runs": runs},
        )
    owner.execute(sql.SQL("VACUUM (ANALYZE) {}").format(tables))
    owner.execute("CHECKPOINT")


def check(owner: psycopg.Connection, expected: int, *, state: str, table: str = RUNS) -> None:
    """
    See that so many runs are in this state, no more, and that some are pending still.

    Raises:
        BenchError: The sample is worth nothing.
    """
    counted = owner.execute(
        sql.SQL(
            """SELECT count(*) FILTER (WHERE "runState" = %(state)s),
                      count(*) FILTER (WHERE "runState" = 'pending') FROM {}"""
        ).format(sql.Identifier(table)),
        {"state": state},
    ).fetchone()
    found, pending = counted or (0, 0)
    if not pending:
        raise BenchError("the backlog ran dry: the bench must begin with more runs")
    if found != expected:
        raise BenchError(f"{expected} runs were counted, {found} are {state}")


def is_drained(owner: psycopg.Connection) -> bool:
    """Whether no run is left to be executed."""
    found = owner.execute(
        """SELECT EXISTS (SELECT FROM "workflowRuns" WHERE "finishedAt" IS NULL)"""
    ).fetchone()
    return not (found and found[0])


def drain_seconds(owner: psycopg.Connection, runs: int) -> float:
    """
    From the first claim to the last report, by the ledger.

    Raises:
        BenchError: Not every run was claimed once and finished once.
    """
    finished, claims, reports, reported, seconds = owner.execute(
        """
SELECT (SELECT count(*) FROM "workflowRuns" WHERE "runState" = 'finished'),
       count(*) FILTER (WHERE kind = 'claimed'),
       count(*) FILTER (WHERE kind = 'reported'),
       count(DISTINCT "runId") FILTER (WHERE kind = 'reported' AND "toState" = 'finished'),
       extract(epoch FROM max(at) FILTER (WHERE kind = 'reported')
                          - min(at) FILTER (WHERE kind = 'claimed'))::double precision
  FROM "runEvents"
"""
    ).fetchone() or (0, 0, 0, 0, 0.0)
    if {finished, claims, reports, reported} != {runs}:
        raise BenchError(
            f"of {runs} runs {finished} are finished, after {claims} claims and {reports} reports"
        )
    return float(seconds)
