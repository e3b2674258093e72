"""Limits of a queue: so many leases at once, and so many granted in any one second.

They are kept by a counter, the queue's row, which is locked before anything is claimed
under it and until the claim is committed. Whoever has it knows:

- There are no more leases than `leasedAtMost`: only claims make leases, and each adds its
  own to it. Leases that end are not taken off; when the bound is in the way, they are
  counted, by a statement that began after the lock was had.
- What was granted lately, in twentieths of a second. A claim is counted in the one in
  which it has granted its last lease, and what it may grant is what those of the last
  second leave of the rate: so no second has more, wherever it begins.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from sqlalchemy import Connection

from orchestrator.store.lock_waits import wait_briefly
from orchestrator.store.sql import text

# Over a queue `q`: whether it has a limit that claims from it have to keep.
LIMITED = """(q."maxConcurrency" IS NOT NULL OR q."ratePerSecond" IS NOT NULL)"""

SLOTS_PER_SECOND = 20
# A second begins in one slot and ends in another: so long does a slot count.
COUNTS_FOR_SECONDS = (SLOTS_PER_SECOND + 1) / SLOTS_PER_SECOND

# Claims that had begun before a limit was put, and know nothing of it, are over by then.
_SETTLED_SECONDS = 15

_SLOT = f"floor(extract(epoch FROM now) * {SLOTS_PER_SECOND})::bigint"
# Both ways: a clock that stepped back leaves slots behind that are yet to come, and those
# far ahead are nothing to wait for.
_COUNTS = f"abs(g.slot - h.slot) <= {SLOTS_PER_SECOND}"


@dataclass(frozen=True, slots=True)
class Limits:
    """
    The limits of a queue whose row is locked, and what is used of them.

    Attributes:
        leased_at_most: There are no more leases; None when that is not known.
        granted: Leases that were granted within a second.
        oldest: How many of these will be the first that count no more.
        oldest_for_seconds: For how long they still do; None when nothing was granted.
    """

    queue: str
    max_concurrency: int | None
    leased_at_most: int | None
    rate_per_second: int | None
    granted: int
    oldest: int
    oldest_for_seconds: float | None


@dataclass(frozen=True, slots=True)
class Grant:
    """
    What was claimed under the limits of a queue.

    Attributes:
        leased_at_most: With these there are no more leases.
    """

    queue: str
    runs: int
    leased_at_most: int | None


@dataclass(frozen=True, slots=True)
class NewLimits:
    """What an operator allows; None for no limit, or for one run of each key."""

    queue: str
    max_concurrency: int | None
    rate_per_second: int | None
    max_concurrency_per_key: int | None
    actor: str


def put(connection: Connection, new: NewLimits) -> None:
    """
    Set a queue's limits; repeatable.

    Takes nothing from anyone. Claims that begin after the COMMIT keep them; what a key has
    been let in for and nobody has claimed is held back by the keeper's sweep.
    """
    connection.execute(
        text("""
INSERT INTO queues AS q (name, paused, "maxConcurrency", "ratePerSecond", "maxConcurrencyPerKey",
                         "changedBy", "changedAt")
VALUES (:queue, false, :max_concurrency, :rate_per_second, :max_concurrency_per_key, :actor,
        clock_timestamp())
ON CONFLICT (name) DO UPDATE SET "maxConcurrency" = excluded."maxConcurrency",
  "ratePerSecond" = excluded."ratePerSecond",
  "maxConcurrencyPerKey" = excluded."maxConcurrencyPerKey", "leasedAtMost" = NULL,
  "changedBy" = excluded."changedBy", "changedAt" = excluded."changedAt"
"""),
        {
            "queue": new.queue,
            "max_concurrency": new.max_concurrency,
            "rate_per_second": new.rate_per_second,
            "max_concurrency_per_key": new.max_concurrency_per_key,
            "actor": new.actor,
        },
    )


def hold(connection: Connection, queues: Iterable[str], *, briefly: bool = False) -> list[Limits]:
    """
    Lock the rows of those queues that have limits, in order of name, and read them.

    To be called once in a transaction, before it claims: whoever locked one row after
    another could wait for somebody who waits for him.

    Args:
        briefly: Give up after a tenth of a second on a row that somebody else holds.

    Raises:
        DBAPIError: 55P03, after that.
    """
    if briefly:
        wait_briefly(connection)
    rows = connection.execute(
        text(_limits(locking=" FOR UPDATE OF q")), {"queues": sorted(set(queues))}
    )
    return [Limits(*row) for row in rows]


def look(connection: Connection, queue: str) -> Limits | None:
    """As `hold`, without a lock: what a queue's limits and their use were at this moment."""
    row = connection.execute(text(_limits(locking="")), {"queues": [queue]}).one_or_none()
    return None if row is None else Limits(*row)


def count_leases(connection: Connection, queue: str) -> int:
    """How many leases of runs that were claimed from a queue there are."""
    return int(
        connection.execute(
            text("""
SELECT count(*) FROM "workflowRuns" WHERE "leaseId" IS NOT NULL AND "stepQueue" = :queue
"""),
            {"queue": queue},
        ).scalar_one()
    )


def note_grants(connection: Connection, grants: Sequence[Grant]) -> None:
    """
    Count what was just claimed under the limits of these queues, whose rows are locked.

    A bound that was counted while claims from before the limit may be under way is not kept.
    """
    connection.execute(
        text(f"""
UPDATE queues q SET "leasedAtMost" = CASE
      WHEN q."changedAt" < h.now - interval '{_SETTLED_SECONDS} seconds'
      THEN h.leased_at_most END, ("grantSlots", "grantCounts") = (
    SELECT coalesce(array_agg(s.slot), '{{}}'), coalesce(array_agg(s.runs), '{{}}') FROM (
      SELECT g.slot, sum(g.runs)::integer AS runs FROM (
        SELECT h.slot, h.runs
         UNION ALL
        SELECT g.slot, g.runs FROM unnest(q."grantSlots", q."grantCounts") AS g(slot, runs)
         WHERE {_COUNTS}) g
       WHERE q."ratePerSecond" IS NOT NULL GROUP BY g.slot) s)
  FROM (
    SELECT k.*, now, {_SLOT} AS slot
      FROM unnest(CAST(:queues AS text[]), CAST(:runs AS integer[]),
        CAST(:leased_at_most AS integer[])) AS k(queue, runs, leased_at_most)
     CROSS JOIN clock_timestamp() AS now) h
 WHERE q.name = h.queue
"""),
        {
            "queues": [grant.queue for grant in grants],
            "runs": [grant.runs for grant in grants],
            "leased_at_most": [grant.leased_at_most for grant in grants],
        },
    )


def limited_among(connection: Connection, names: Sequence[str]) -> set[str]:
    """Which of these queues have limits that claims have to keep."""
    return set(
        connection.execute(
            text(f"""
SELECT q.name FROM queues q WHERE q.name = ANY (CAST(:names AS text[])) AND {LIMITED}
"""),
            {"names": list(names)},
        ).scalars()
    )


def _limits(*, locking: str) -> str:
    # `timed` reads the clock when the row is locked, not before.
    return f"""
WITH held AS MATERIALIZED (
  SELECT q.* FROM queues q WHERE q.name = ANY (CAST(:queues AS text[])) AND {LIMITED}
   ORDER BY q.name{locking}),
timed AS MATERIALIZED (SELECT h.*, clock_timestamp() AS now FROM held h),
slotted AS (SELECT t.*, {_SLOT} AS slot FROM timed t)
SELECT h.name, h."maxConcurrency", CASE
         WHEN h."changedAt" < h.now - interval '{_SETTLED_SECONDS} seconds'
         THEN h."leasedAtMost" END,
       h."ratePerSecond", coalesce(g.granted, 0), coalesce(g.oldest, 0),
       ((g.oldest_slot + {SLOTS_PER_SECOND} + 1) / {float(SLOTS_PER_SECOND)}
         - extract(epoch FROM h.now))::double precision
  FROM slotted h CROSS JOIN LATERAL (
    SELECT sum(g.runs)::integer AS granted, min(g.slot) AS oldest_slot,
           (array_agg(g.runs ORDER BY g.slot))[1] AS oldest
      FROM unnest(h."grantSlots", h."grantCounts") AS g(slot, runs) WHERE {_COUNTS}) g
 ORDER BY h.name
"""
