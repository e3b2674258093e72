"""What a census counts: the runs of each queue and state, by index and no further than is told.

What a queue is here is where a run's current step is claimed. No function reads more the
larger a backlog is: of each queue and state so many entries of an index are read at most,
and of a thousand queues fewer of each than of ten.
"""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import Connection

from orchestrator.lifecycle import RunState
from orchestrator.store.sql import text

# So many runs of a queue and state are counted; then a count says that there are more.
MOST_COUNTED = 10_000
# Where there are more deep ones than ten, fewer of each are counted, so that all of them
# cost no more; whoever has no more than a few is counted wholly, and is none of these.
MOST_IN_ALL, FEW = 10 * MOST_COUNTED, 100
# So many queues are looked at, in order of their names.
MOST_QUEUES = 1_000
# The oldest is sought among the first so many of each queue, or of all queues.
MOST_NEXT, NEXT_IN_ALL = 100, 5_000
# There are no more leases than slots, unless somebody claims without end.
MOST_LEASES = 20_000

_RESTING = ", ".join(
    f"'{state}'"
    for state in (RunState.SCHEDULED, RunState.WAITING, RunState.FAILED, RunState.ABORTED)
)


@dataclass(frozen=True, slots=True)
class Count:
    """So many; `is_capped`: there are more, which were not counted."""

    number: int = 0
    is_capped: bool = False

    def __add__(self, other: Count) -> Count:
        """No more than `MOST_COUNTED` are told of several, either."""
        number = self.number + other.number
        return Count(
            min(number, MOST_COUNTED), self.is_capped or other.is_capped or number > MOST_COUNTED
        )


NONE = Count()


@dataclass(frozen=True, slots=True)
class Pending:
    """
    What waits for an executor in a queue.

    Attributes:
        gated: Of those pending, those without a place of their concurrencyKey.
        oldest_seconds: For how long the oldest has been due of those that are claimed next.
    """

    queue: str
    count: Count
    gated: Count
    oldest_seconds: float


@dataclass(frozen=True, slots=True)
class Resting:
    """How many runs of a queue are scheduled, waiting, failed or aborted."""

    queue: str
    run_state: str
    count: Count


@dataclass(frozen=True, slots=True)
class Leased:
    """
    The leases of a queue's runs.

    Attributes:
        expired: Of them, those that have run out and nobody has taken yet.
    """

    queue: str
    loading: Count
    started: Count
    expired: Count


def walk_indexes(connection: Connection) -> None:
    """
    Let this transaction count along the indexes, entry by entry.

    A bitmap is made of all entries before the first is counted, and so is a hash of a
    table: then no limit bounds what is read. Plans without them look so dear that they
    would be compiled, which takes longer than the whole census.
    """
    connection.execute(
        text("""
SELECT set_config('enable_bitmapscan', 'off', true), set_config('enable_seqscan', 'off', true),
       set_config('jit', 'off', true)
""")
    )


# The names are found by jumping along the index from one to the next: DISTINCT would read
# all of its entries.
_PENDING_NAMES = f"""names AS (
  (SELECT "stepQueue" AS name, 1 AS number FROM "workflowRuns"
    WHERE "runState" = '{RunState.PENDING}' ORDER BY "stepQueue" LIMIT 1)
  UNION ALL
  SELECT n.name, w.number + 1 FROM names w CROSS JOIN LATERAL (
    SELECT r."stepQueue" AS name FROM "workflowRuns" r
     WHERE r."runState" = '{RunState.PENDING}' AND r."stepQueue" > w.name
     ORDER BY r."stepQueue" LIMIT 1) n
   WHERE w.number < {MOST_QUEUES})"""


def pending_queues(connection: Connection) -> list[str]:
    """The queues that have pending runs, by name; of `MOST_QUEUES` at most."""
    rows = connection.execute(text(f"WITH RECURSIVE {_PENDING_NAMES}\nSELECT name FROM names\n"))
    return list(rows.scalars())


def pending(connection: Connection) -> list[Pending]:
    """What waits in each queue that has pending runs, by name; of `MOST_QUEUES` at most."""
    rows = connection.execute(
        text(f"""
WITH RECURSIVE {_PENDING_NAMES},
few AS MATERIALIZED (
  SELECT n.name, c.number FROM names n
   CROSS JOIN LATERAL (SELECT count(*) AS number FROM (
      SELECT FROM "workflowRuns" r
       WHERE r."runState" = '{RunState.PENDING}' AND r."stepQueue" = n.name
       LIMIT {FEW + 1}) seen) c),
bounds AS MATERIALIZED (
  SELECT {_most()} AS most,
         least({MOST_NEXT}, greatest(1, {NEXT_IN_ALL} / greatest(1, count(*)))) AS next
    FROM few)
SELECT n.name, least(greatest(n.number, c.number), b.most), c.number > b.most,
       least(g.number, b.most), g.number > b.most,
       greatest(0, extract(epoch FROM clock_timestamp() - o.oldest))::double precision
  FROM few n CROSS JOIN bounds b
 CROSS JOIN LATERAL (SELECT count(*) AS number FROM (
    SELECT FROM "workflowRuns" r
     WHERE r."runState" = '{RunState.PENDING}' AND r."stepQueue" = n.name AND n.number > {FEW}
     LIMIT (SELECT most + 1 FROM bounds)) seen) c
 CROSS JOIN LATERAL (SELECT count(*) AS number FROM (
    SELECT FROM "workflowRuns" r
     WHERE r."runState" = '{RunState.PENDING}' AND r."stepQueue" = n.name
       AND r."claimKey" = 'infinity'
     LIMIT (SELECT most + 1 FROM bounds)) seen) g
 CROSS JOIN LATERAL (SELECT min(next."availableAt") AS oldest FROM (
    SELECT r."availableAt" FROM "workflowRuns" r
     WHERE r."runState" = '{RunState.PENDING}' AND r."stepQueue" = n.name
     ORDER BY r."claimKey", r.id LIMIT (SELECT next FROM bounds)) next) o
 ORDER BY n.name
""")
    )
    return [
        Pending(name, Count(number, is_capped), Count(gated, gated_capped), oldest_seconds or 0.0)
        for name, number, is_capped, gated, gated_capped, oldest_seconds in rows
    ]


def resting(connection: Connection) -> list[Resting]:
    """The runs of each queue that nobody executes for a time, or that came to a bad end."""
    rows = connection.execute(
        text(f"""
WITH RECURSIVE names AS (
  (SELECT "runState" AS state, "stepQueue" AS name, 1 AS number FROM "workflowRuns"
    WHERE "runState" IN ({_RESTING}) ORDER BY "runState", "stepQueue" LIMIT 1)
  UNION ALL
  SELECT n.state, n.name, w.number + 1 FROM names w CROSS JOIN LATERAL (
    SELECT r."runState" AS state, r."stepQueue" AS name FROM "workflowRuns" r
     WHERE r."runState" IN ({_RESTING}) AND (r."runState", r."stepQueue") > (w.state, w.name)
     ORDER BY r."runState", r."stepQueue" LIMIT 1) n
   WHERE w.number < 4 * {MOST_QUEUES}),
few AS MATERIALIZED (
  SELECT n.state, n.name, c.number FROM names n
   CROSS JOIN LATERAL (SELECT count(*) AS number FROM (
      SELECT FROM "workflowRuns" r
       WHERE r."runState" IN ({_RESTING}) AND r."runState" = n.state AND r."stepQueue" = n.name
       LIMIT {FEW + 1}) seen) c),
bounds AS MATERIALIZED (SELECT {_most()} AS most FROM few)
SELECT n.name, n.state, least(greatest(n.number, c.number), b.most), c.number > b.most
  FROM few n CROSS JOIN bounds b
 CROSS JOIN LATERAL (SELECT count(*) AS number FROM (
    SELECT FROM "workflowRuns" r
     WHERE r."runState" IN ({_RESTING}) AND r."runState" = n.state AND r."stepQueue" = n.name
       AND n.number > {FEW}
     LIMIT (SELECT most + 1 FROM bounds)) seen) c
""")
    )
    return [
        Resting(name, state, Count(number, is_capped)) for name, state, number, is_capped in rows
    ]


def leased(connection: Connection) -> list[Leased]:
    """What is leased of each queue's runs; of `MOST_LEASES` leases at most."""
    rows = connection.execute(
        text(f"""
WITH leases AS MATERIALIZED (
  SELECT "stepQueue", "runState", "leaseExpiresAt" < (SELECT clock_timestamp()) AS expired
    FROM "workflowRuns" WHERE "leaseId" IS NOT NULL LIMIT {MOST_LEASES + 1})
SELECT l."stepQueue", count(*) FILTER (WHERE l."runState" = '{RunState.LOADING}'),
       count(*) FILTER (WHERE l."runState" = '{RunState.STARTED}'),
       count(*) FILTER (WHERE l.expired), (SELECT count(*) FROM leases) > {MOST_LEASES}
  FROM leases l GROUP BY l."stepQueue"
""")
    )
    return [
        Leased(queue, *(Count(number, are_more) + NONE for number in numbers))
        for queue, *numbers, are_more in rows
    ]


def _most() -> str:
    """How far each count goes of those that have more than a few."""
    return (
        f"least({MOST_COUNTED}, greatest({FEW}, {MOST_IN_ALL}"
        f" / greatest(1, count(*) FILTER (WHERE number > {FEW})) / 100 * 100))"
    )
