"""What happened in each queue, counted by the minute, the hour and the day.

A small table, so that nobody counts the large ones. Every process adds what it has counted
(`store/tally.py`); a process that is killed takes its last seconds with it, so these figures
show and never decide.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

import orjson
from sqlalchemy import Connection

from orchestrator.store.sql import text

MINUTE, HOUR, DAY = 60, 3_600, 86_400
SPANS = (MINUTE, HOUR, DAY)
# Days are kept as long as runs.
KEEP_MINUTES_HOURS, KEEP_HOURS_DAYS = 26, 8
# So many days of queues are added up for what is finished: a month of a thousand queues.
MOST_DAYS_ADDED = 30_000


class Counted(StrEnum):
    """
    What is counted; the columns of the table.

    What happens to a lease counts for the queue that it was claimed from, and so does what
    becomes of a run; only a create counts for the queue in which its first step waits.
    """

    CREATED = "created"
    CLAIMED = "claimed"
    REPLAYED = "replayed"
    """A claim or report that got what it had got before."""
    REFUSED = "refused"
    """A claim by id, a report, a renewal or a step's start that the state did not allow."""
    REPORTED = "reported"
    """Outcomes of steps that were stored."""
    RETRIED = "retried"
    """Runs that an error sent into back-off, or that somebody had retried."""
    RELEASED = "released"
    EXPIRED = "expired"
    FINISHED = "finished"
    FAILED = "failed"
    ABORTED = "aborted"

    # An enum's own is written in Python: five times as slow, at every claim and report.
    __hash__ = str.__hash__


_COLUMNS = ", ".join(Counted)

_SPANS_NOW = f"""
  SELECT v.seconds, to_timestamp(floor(extract(epoch FROM n.now) / v.seconds) * v.seconds) AS began
    FROM (VALUES {", ".join(f"({seconds})" for seconds in SPANS)}) AS v(seconds)
   CROSS JOIN (SELECT clock_timestamp() AS now) n"""

_LAST_SPANS = """
  SELECT to_timestamp((floor(extract(epoch FROM clock_timestamp()) / :span_seconds) - back)
                      * :span_seconds) AS began
    FROM generate_series(0, :points - 1) AS back"""

Numbers = Mapping[Counted, int]


@dataclass(frozen=True, slots=True)
class Point:
    """
    What was counted from `began_at` on, for as long as the series' span.

    Attributes:
        most_pending: The most runs that were seen pending at once, added up over the queues;
            of each queue no more than a census counts.
        oldest_pending_seconds: For how long the oldest of any queue was seen due at most.
    """

    began_at: datetime
    numbers: Numbers
    most_pending: int
    oldest_pending_seconds: int


@dataclass(frozen=True, slots=True)
class Pending:
    """How many runs of a queue are pending, and for how long the oldest has been due."""

    number: int
    oldest_seconds: int


def add(connection: Connection, counts: Mapping[str, Numbers]) -> None:
    """
    Add what was counted since the last time, to the minute, hour and day that are now.

    A crash may lose it (it is committed asynchronously).

    Args:
        counts: By queue.
    """
    told = [
        {"queue": queue, **{counted.value: number for counted, number in numbers.items()}}
        for queue, numbers in counts.items()
    ]
    # In the order of the key, so that two that add to the same rows wait for each other
    # and never in a circle.
    connection.execute(text("SET LOCAL synchronous_commit = off"))
    connection.execute(
        text(f"""
INSERT INTO activity AS a ("spanSeconds", "beganAt", queue, {_COLUMNS})
SELECT s.seconds, s.began, c.queue, {", ".join(f"coalesce(c.{name}, 0)" for name in Counted)}
  FROM jsonb_to_recordset(CAST(:counts AS jsonb)) AS c(queue text,
         {", ".join(f"{name} bigint" for name in Counted)})
 CROSS JOIN ({_SPANS_NOW}) s
 ORDER BY s.seconds, s.began, c.queue
ON CONFLICT ("spanSeconds", "beganAt", queue) DO UPDATE SET
  {", ".join(f"{name} = a.{name} + excluded.{name}" for name in Counted)}
"""),
        {"counts": orjson.dumps(told).decode()},
    )


def note_pending(connection: Connection, pending: Mapping[str, Pending]) -> None:
    """
    Note what is pending now; of each minute, hour and day the most and the oldest are kept.

    Args:
        pending: By queue.
    """
    connection.execute(text("SET LOCAL synchronous_commit = off"))
    connection.execute(
        text(f"""
INSERT INTO activity AS a ("spanSeconds", "beganAt", queue, "mostPending",
  "oldestPendingSeconds")
SELECT s.seconds, s.began, p.queue, p.number, p.oldest
  FROM unnest(CAST(:queues AS text[]), CAST(:numbers AS bigint[]), CAST(:oldest AS bigint[]))
    AS p(queue, number, oldest)
 CROSS JOIN ({_SPANS_NOW}) s
 ORDER BY s.seconds, s.began, p.queue
ON CONFLICT ("spanSeconds", "beganAt", queue) DO UPDATE
  SET "mostPending" = greatest(a."mostPending", excluded."mostPending"),
      "oldestPendingSeconds" = greatest(a."oldestPendingSeconds", excluded."oldestPendingSeconds")
  WHERE a."mostPending" < excluded."mostPending"
     OR a."oldestPendingSeconds" < excluded."oldestPendingSeconds"
"""),
        {
            "queues": list(pending),
            "numbers": [each.number for each in pending.values()],
            "oldest": [each.oldest_seconds for each in pending.values()],
        },
    )


def series(
    connection: Connection,
    *,
    span_seconds: int,
    points: int,
    queue_patterns: Sequence[str],
    queue: str | None = None,
) -> list[Point]:
    """
    What happened lately, oldest first; the last point is the span that is not over.

    Args:
        span_seconds: `MINUTE`, `HOUR` or `DAY`.
        points: How many; where nothing happened all its numbers are 0.
        queue_patterns: What the token covers: exact names, prefixes, or *.
        queue: Of this one alone.
    """
    rows = connection.execute(
        text(f"""
SELECT s.began, t.*
  FROM ({_LAST_SPANS}) s
 CROSS JOIN LATERAL (
   SELECT {", ".join(f"coalesce(sum(a.{name}), 0)::bigint" for name in Counted)},
          coalesce(sum(a."mostPending"), 0)::bigint,
          coalesce(max(a."oldestPendingSeconds"), 0)
     FROM activity a
    WHERE a."spanSeconds" = :span_seconds AND a."beganAt" = s.began
      AND (CAST(:queue AS text) IS NULL OR a.queue = :queue)
      AND EXISTS (SELECT FROM unnest(CAST(:patterns AS text[])) AS p(pattern)
        WHERE p.pattern = '*' OR p.pattern = a.queue
           OR (p.pattern LIKE '%.*' AND starts_with(a.queue, left(p.pattern, -1))))) t
 ORDER BY s.began
"""),
        {
            "span_seconds": span_seconds,
            "points": points,
            "queue": queue,
            "patterns": list(queue_patterns),
        },
    )
    return [
        Point(began, dict(zip(Counted, numbers, strict=True)), most_pending, oldest)
        for began, *numbers, most_pending, oldest in rows
    ]


def by_queue(
    connection: Connection, *, span_seconds: int, points: int
) -> dict[str, dict[Counted, int]]:
    """What happened in each queue in the last spans, the one that is not over among them."""
    # Each span by itself: how few of the rows the last ones are, a plan would not guess.
    rows = connection.execute(
        text(f"""
SELECT a.queue, {", ".join(f"sum(a.{name})::bigint" for name in Counted)}
  FROM ({_LAST_SPANS}) s
 CROSS JOIN LATERAL (
   SELECT * FROM activity a
    WHERE a."spanSeconds" = :span_seconds AND a."beganAt" = s.began OFFSET 0) a
 GROUP BY a.queue
"""),
        {"span_seconds": span_seconds, "points": points},
    )
    return {queue: dict(zip(Counted, numbers, strict=True)) for queue, *numbers in rows}


def claimed_per_minute(
    connection: Connection, queues: Sequence[str], *, minutes: int
) -> dict[str, list[int]]:
    """
    How many runs were claimed from each of these queues in the last minutes, oldest first.

    The minute that is not over is left out; so is a queue of which nothing was counted.
    """
    rows = connection.execute(
        text(f"""
SELECT a.queue, array_agg((floor(extract(epoch FROM n.now) / {MINUTE})
                           - extract(epoch FROM a."beganAt") / {MINUTE})::integer),
       array_agg(a.claimed)
  FROM activity a CROSS JOIN (SELECT clock_timestamp() AS now) n
 WHERE a."spanSeconds" = {MINUTE} AND a.queue = ANY (CAST(:queues AS text[]))
   AND a."beganAt" < to_timestamp(floor(extract(epoch FROM n.now) / {MINUTE}) * {MINUTE})
   AND a."beganAt" >= to_timestamp((floor(extract(epoch FROM n.now) / {MINUTE}) - :minutes)
                                   * {MINUTE})
 GROUP BY a.queue
"""),
        {"queues": list(queues), "minutes": minutes},
    )
    found: dict[str, list[int]] = {}
    for queue, ago, claimed in rows:
        numbers = found[queue] = [0] * minutes
        for minutes_ago, number in zip(ago, claimed, strict=True):
            numbers[-minutes_ago] = number
    return found


def finished(connection: Connection) -> dict[str, int]:
    """How many runs were counted as finished in each queue, in the days that are kept."""
    rows = connection.execute(
        text(f"""
SELECT d.queue, sum(d.finished)::bigint FROM (
  SELECT a.queue, a.finished FROM activity a WHERE a."spanSeconds" = {DAY}
   ORDER BY a."beganAt" DESC LIMIT {MOST_DAYS_ADDED}) d
 GROUP BY d.queue
""")
    )
    return {queue: int(number) for queue, number in rows}


def drop_old(connection: Connection, *, retention_days: int) -> int:
    """
    Drop what is older than is shown; returns how many rows.

    Args:
        retention_days: How long days are kept; 0 keeps them for ever.
    """
    return connection.execute(
        text(f"""
DELETE FROM activity a USING (SELECT clock_timestamp() AS now) n
 WHERE (a."spanSeconds" = {MINUTE}
        AND a."beganAt" < n.now - interval '{KEEP_MINUTES_HOURS} hours')
    OR (a."spanSeconds" = {HOUR} AND a."beganAt" < n.now - interval '{KEEP_HOURS_DAYS} days')
    OR (a."spanSeconds" = {DAY} AND :retention_days > 0
        AND a."beganAt" < n.now - make_interval(days => :retention_days))
"""),
        {"retention_days": retention_days},
    ).rowcount
