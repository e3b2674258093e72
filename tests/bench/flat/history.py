"""A table's past and its backlog, made by the server itself.

Every run has what a real one of the sample `bench-noop` has: a run that is over
its three events (created, claimed, reported), its step and its output, one of
the last day also the request that claimed it; a live one the event of its
creation. Ids are UUIDv7 of the time at which the run is said to be created. The
constraints are the product's; its guards concern changes only.
"""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass
from datetime import timedelta

import psycopg
from psycopg import sql

from tests.bench.backlog import QUEUE, TABLES
from tests.bench.desks import TOKEN_NAME
from tests.bench.handlers import NOOP

CHUNK = 200_000
EXECUTOR = "bench:flat"

# A UUIDv7 of the run's creation: one and the same for its row, events and step.
_MADE = """
  SELECT n, created, (lpad(to_hex((extract(epoch FROM created) * 1000)::bigint), 12, '0')
           || '7' || substr(md5(%(kind)s || n), 1, 3)
           || '8' || substr(md5(%(kind)s || n), 4, 15))::uuid AS id,
         (extract(epoch FROM created) * 1000)::bigint AS fence,
         md5('lease' || n)::uuid AS lease_id
    FROM (SELECT n, CAST(%(origin)s AS timestamptz)
                    - CAST(%(begins)s AS interval)
                    + (CAST(%(begins)s AS interval) - CAST(%(ends)s AS interval))
                      * (n::double precision / %(runs)s) AS created
            FROM generate_series(CAST(%(first)s AS bigint), CAST(%(last)s AS bigint)) AS n) numbered
"""

_RUNS = f"""
INSERT INTO "workflowRuns" (
  id, workflow, queue, "stepQueue", "runState", priority, "availableAt", "claimKey", "stepIndex",
  "stepName", "stepType", input, output, attempt, failures, crashes, releases, "maxFailures",
  "maxCrashes", fence, "createdBy", "createdAt", "startedAt", "finishedAt", version)
SELECT id, '{NOOP}', '{QUEUE}', '{QUEUE}', %(state)s, 0,
       CASE %(state)s WHEN 'scheduled' THEN created + interval '1 day' ELSE created END,
       created, 0, '{NOOP}', '{NOOP}', jsonb_build_object('orderId', n),
       CASE WHEN %(is_over)s THEN jsonb_build_object('answer', n) END,
       CAST(%(is_over)s AS boolean)::integer, 0, 0, 0, 3, 3,
       CASE WHEN %(is_over)s THEN fence ELSE 0 END, 'bench', created,
       CASE WHEN %(is_over)s THEN created + interval '1 s' END,
       CASE WHEN %(is_over)s THEN created + interval '2 s' END,
       CASE WHEN %(is_over)s THEN 3 ELSE 1 END
  FROM ({_MADE}) made
"""

_EVENTS = f"""
INSERT INTO "runEvents" ("runId", seq, kind, at, "fromState", "toState", "leaseId", fence,
                         executor, "requestId", actor, detail)
SELECT id, 1, 'created', created, NULL,
       CASE %(state)s WHEN 'scheduled' THEN 'scheduled' ELSE 'pending' END, NULL, NULL, NULL,
       md5('request' || n)::uuid::text, 'bench', '{{}}'::jsonb
  FROM ({_MADE}) made
UNION ALL
SELECT id, 2, 'claimed', created + interval '1 s', 'pending', 'loading', lease_id, fence,
       '{EXECUTOR}', md5('claim' || n)::uuid::text, '{TOKEN_NAME}', '{{}}'
  FROM ({_MADE}) made WHERE %(is_over)s
UNION ALL
SELECT id, 3, 'reported', created + interval '2 s', 'loading', 'finished', lease_id, fence,
       '{EXECUTOR}', md5('report' || n)::uuid::text, '{TOKEN_NAME}',
       jsonb_build_object('stepIndex', 0, 'outcome', 'success',
                          'outcomeHash', md5(n::text) || md5('hash' || n))
  FROM ({_MADE}) made WHERE %(is_over)s
 ORDER BY 1, 2
"""

_STEPS = f"""
INSERT INTO "workflowSteps" ("runId", "stepIndex", name, type, state, output, "startedAt",
                             "finishedAt")
SELECT id, 0, '{NOOP}', '{NOOP}', 'finished', jsonb_build_object('answer', n),
       created + interval '1 s', created + interval '2 s'
  FROM ({_MADE}) made WHERE %(is_over)s
"""

_CLAIM_REQUESTS = f"""
INSERT INTO "claimRequests" ("tokenName", "requestId", session, "bodyHash", at, "runIds",
                             "leaseIds")
SELECT '{TOKEN_NAME}', md5('claim' || n)::uuid, md5('session')::uuid, decode(md5('body'), 'hex'),
       created + interval '1 s', ARRAY[id], ARRAY[lease_id]
  FROM ({_MADE}) made WHERE %(is_over)s AND created > now() - interval '1 day'
"""


@dataclass(frozen=True)
class Stretch:
    """
    Runs of one state, created at equal distances.

    Attributes:
        begins: How long ago the first of them was created; `ends`: the last.
    """

    state: str
    runs: int
    begins: timedelta
    ends: timedelta

    @property
    def is_over(self) -> bool:
        return self.state == "finished"


def past(*, over: int, old: int, pending: int, scheduled: int) -> list[Stretch]:
    """Two months: the first one is to be pruned, the second is kept; the last hour is alive."""
    return [
        Stretch("finished", old, timedelta(days=60), timedelta(days=31)),
        Stretch("finished", over, timedelta(days=29), timedelta(hours=1)),
        Stretch("pending", pending, timedelta(minutes=59), timedelta(minutes=2)),
        Stretch("scheduled", scheduled, timedelta(minutes=58), timedelta(minutes=1)),
    ]


def write(owner_url: str, stretches: list[Stretch], say: Callable[[str], None]) -> None:
    """Add these runs to the tables, each table from a session of its own."""
    with closing(psycopg.connect(owner_url, autocommit=True)) as owner:
        (origin,) = owner.execute("SELECT now()").fetchone() or (None,)

    def fill(statement: str) -> None:
        with closing(psycopg.connect(owner_url, autocommit=True)) as session:
            own = psycopg.ClientCursor(session)
            own.execute("SET synchronous_commit = off")
            for number, stretch in enumerate(stretches):
                for first in range(1, stretch.runs + 1, CHUNK):
                    own.execute(
                        statement,
                        {
                            "kind": f"{origin}{number}-",
                            "origin": origin,
                            "begins": stretch.begins,
                            "ends": stretch.ends,
                            "runs": stretch.runs,
                            "state": stretch.state,
                            "is_over": stretch.is_over,
                            "first": first,
                            "last": min(first + CHUNK - 1, stretch.runs),
                        },
                    )

    with ThreadPoolExecutor(3) as sessions:
        for done in [
            sessions.submit(fill, statement)
            for statement in (_RUNS, _EVENTS, _STEPS + ";" + _CLAIM_REQUESTS)
        ]:
            done.result()
    say("  vacuum, analyse, checkpoint")
    settle(owner_url)


def settle(owner_url: str) -> None:
    """Leave no vacuum, no statistics and no dirty page for later."""
    with closing(psycopg.connect(owner_url, autocommit=True)) as owner:
        for table in TABLES:
            owner.execute(sql.SQL("VACUUM (ANALYZE) {}").format(sql.Identifier(table)))
        owner.execute("CHECKPOINT")


def top_up(owner_url: str, pending: int, say: Callable[[str], None]) -> None:
    """Have so many pending runs at least."""
    with closing(psycopg.connect(owner_url, autocommit=True)) as owner:
        (there,) = owner.execute(
            """SELECT count(*) FROM "workflowRuns" WHERE "runState" = 'pending'"""
        ).fetchone() or (0,)
    if there < pending:
        minute = timedelta(minutes=1)
        write(owner_url, [Stretch("pending", pending - there, minute, minute / 60)], say)
