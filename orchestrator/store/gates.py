"""Gates: of the runs of one concurrencyKey, no more at once than their queue allows.

A run with a key that becomes pending is gated by the database itself: its claimKey is
infinity, so that no claim ever comes to it, and its place in the order of claims is kept
in gatedClaimKey. A *place* of the key is taken by each of its runs that is pending and
not gated, loading or started. Places are given under a lock of the key, and counted by a
statement that began after the lock was had; whatever gives one up needs no lock.

Key locks come last: a transaction that has one waits for no row any more.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from uuid import UUID

from sqlalchemy import Connection

from orchestrator.lifecycle import RunState
from orchestrator.store.sql import text

Key = tuple[str, str]
"""A concurrencyKey: the queue that its runs belong to, and the key itself."""

NOWHERE: Key = ("", "")
"""Before every key."""

# Over a run `r`. It also ends the walk along the claimable index before the gated ones.
NOT_GATED = """r."claimKey" < 'infinity'"""

# Two numbers are another space of advisory locks than the one number of a claim's request.
_LOCK_SPACE = 0x67617465  # "gate"
# Keys that share a lock by chance wait for each other, and that is all; so many locks
# fit the server's table, however many keys one transaction names.
_LOCKS = 4_096

# The predicate of the index "workflowRuns_places".
_STANDS = f"""r."concurrencyKey" IS NOT NULL
     AND r."runState" IN ('{RunState.PENDING}', '{RunState.LOADING}', '{RunState.STARTED}')"""
_TAKES_A_PLACE = f"""{_STANDS} AND r."gatedClaimKey" IS NULL"""

_ALLOWED = """coalesce((
         SELECT q."maxConcurrencyPerKey" FROM queues q WHERE q.name = k.queue), 1)"""

# Of a key `k`: how many places are free; less than none when its queue allows fewer by now.
_ROOM = f"""{_ALLOWED} - (
           SELECT count(*) FROM "workflowRuns" r
            WHERE r.queue = k.queue AND r."concurrencyKey" = k.key AND {_TAKES_A_PLACE})"""

_KEYS = "unnest(CAST(:queues AS text[]), CAST(:keys AS text[])) AS k(queue, key)"


@dataclass(frozen=True, slots=True)
class Standing:
    """
    How a run stands with its key.

    Attributes:
        is_gated: It is pending and was not let in yet.
        allowed: How many places there are.
        taken: How many of them are taken.
        holders: Some of the runs that have taken one.
    """

    is_gated: bool
    allowed: int
    taken: int
    holders: tuple[UUID, ...]


@dataclass(frozen=True, slots=True)
class KeyPage:
    """
    Some keys one after another.

    Attributes:
        with_room: Those that have both a free place and a run that waits for one.
        overfull: Those of which more places are taken than there are.
        through: The last key that was looked at.
        is_last: None comes after it.
    """

    with_room: list[Key]
    overfull: list[Key]
    through: Key
    is_last: bool


def let_in(
    connection: Connection, keys: Iterable[Key], *, skip_locked: bool = False
) -> dict[str, int]:
    """
    Let in who is next of these keys, as far as there are places.

    To be called last in every transaction that may have given a place up, or brought a
    run with a key to pending. A run that somebody holds locked is passed over: the
    keeper finds it.

    Args:
        skip_locked: Pass over the keys that another transaction holds, too.

    Returns:
        How many runs are claimable now because of it, by the queue they are claimed from.
    """
    named = _columns(keys)
    if skip_locked:
        named = _lock_free(connection, named)
    else:
        _lock(connection, named)
    # In the order of the index, nulls included: any other would sort all that wait.
    rows = connection.execute(
        text(f"""
WITH room AS MATERIALIZED (
  SELECT k.queue, k.key, {_ROOM} AS places
    FROM (SELECT DISTINCT queue, key FROM {_KEYS}) k),
next AS MATERIALIZED (
  SELECT c.id FROM room m CROSS JOIN LATERAL (
    SELECT r.id FROM "workflowRuns" r
     WHERE r.queue = m.queue AND r."concurrencyKey" = m.key AND {_STANDS}
       AND r."gatedClaimKey" IS NOT NULL
     ORDER BY r."gatedClaimKey" NULLS FIRST, r.id LIMIT greatest(m.places, 0)
       FOR UPDATE OF r SKIP LOCKED) c),
let_in AS (
  UPDATE "workflowRuns" r SET "claimKey" = r."gatedClaimKey", "gatedClaimKey" = NULL
    FROM next n
   WHERE r.id = n.id AND r."gatedClaimKey" IS NOT NULL AND r."runState" = '{RunState.PENDING}'
     AND r.id = ANY (ARRAY(SELECT id FROM next))
  RETURNING r."stepQueue")
SELECT "stepQueue", count(*) FROM let_in GROUP BY "stepQueue"
"""),
        named,
    )
    return {row[0]: row[1] for row in rows}


def hold_back(connection: Connection, keys: Iterable[Key]) -> int:
    """
    Gate again what was let in of these keys and has not been claimed, as far as their queue
    allows fewer by now; those that another transaction holds are passed over.

    Returns:
        How many runs.
    """
    named = _lock_free(connection, _columns(keys))
    return connection.execute(
        text(f"""
WITH surplus AS MATERIALIZED (
  SELECT k.queue, k.key, -({_ROOM}) AS places
    FROM {_KEYS}),
last AS MATERIALIZED (
  SELECT c.id FROM surplus s CROSS JOIN LATERAL (
    SELECT r.id FROM "workflowRuns" r
     WHERE r.queue = s.queue AND r."concurrencyKey" = s.key AND {_TAKES_A_PLACE}
       AND r."runState" = '{RunState.PENDING}'
     ORDER BY r."claimKey" DESC, r.id DESC LIMIT greatest(s.places, 0)
       FOR UPDATE OF r SKIP LOCKED) c)
UPDATE "workflowRuns" r SET "gatedClaimKey" = r."claimKey", "claimKey" = 'infinity'
  FROM last l
 WHERE r.id = l.id AND r."gatedClaimKey" IS NULL AND r."runState" = '{RunState.PENDING}'
   AND r.id = ANY (ARRAY(SELECT id FROM last))
"""),
        named,
    ).rowcount


def hold(connection: Connection, run_id: UUID, key: Key) -> None:
    """Lock a run's row, and then its key: nobody takes a place before this transaction ends."""
    connection.execute(
        text('SELECT FROM "workflowRuns" WHERE id = :run_id FOR UPDATE'), {"run_id": run_id}
    )
    _lock(connection, _columns([key]))


def standing(connection: Connection, run_id: UUID, key: Key) -> Standing:
    """How a run stands with its key."""
    row = connection.execute(
        text(f"""
SELECT coalesce((SELECT r."gatedClaimKey" IS NOT NULL FROM "workflowRuns" r
                  WHERE r.id = :run_id), false) AS is_gated,
       {_ALLOWED} AS allowed, places.taken, places.holders
  FROM (SELECT CAST(:queue AS text) AS queue, CAST(:key AS text) AS key) k
 CROSS JOIN LATERAL (
   SELECT count(*) AS taken, (array_agg(r.id ORDER BY r.id))[1:3] AS holders
     FROM "workflowRuns" r
    WHERE r.queue = k.queue AND r."concurrencyKey" = k.key AND {_TAKES_A_PLACE}) places
"""),
        {"run_id": run_id, "queue": key[0], "key": key[1]},
    ).one()
    return Standing(row.is_gated, row.allowed, row.taken, tuple(row.holders or ()))


def keys_after(connection: Connection, after: Key, *, limit: int) -> KeyPage:
    """The next keys that have live runs, at most this many, and how full they are."""
    # One look along the index for each key, however many runs it has; an EXISTS may read
    # the whole table when most of what is live has one key.
    rows = connection.execute(
        text(f"""
WITH RECURSIVE page AS (
  (SELECT r.queue, r."concurrencyKey" AS key, 1 AS number FROM "workflowRuns" r
    WHERE {_STANDS} AND (r.queue, r."concurrencyKey") > (:after_queue, :after_key)
    ORDER BY r.queue, r."concurrencyKey" LIMIT 1)
  UNION ALL
  SELECT n.queue, n.key, p.number + 1
    FROM page p CROSS JOIN LATERAL (
      SELECT r.queue, r."concurrencyKey" AS key FROM "workflowRuns" r
       WHERE {_STANDS} AND (r.queue, r."concurrencyKey") > (p.queue, p.key)
       ORDER BY r.queue, r."concurrencyKey" LIMIT 1) n
   WHERE p.number < :limit)
SELECT k.queue, k.key, (
         SELECT r.id FROM "workflowRuns" r
          WHERE r.queue = k.queue AND r."concurrencyKey" = k.key AND {_STANDS}
            AND r."gatedClaimKey" IS NOT NULL
          ORDER BY r."gatedClaimKey" NULLS FIRST, r.id LIMIT 1) IS NOT NULL AS waited_for,
       {_ROOM} AS room
  FROM page k ORDER BY k.number
"""),
        {"after_queue": after[0], "after_key": after[1], "limit": limit},
    ).all()
    return KeyPage(
        with_room=[(row.queue, row.key) for row in rows if row.room > 0 and row.waited_for],
        overfull=[(row.queue, row.key) for row in rows if row.room < 0],
        through=(rows[-1].queue, rows[-1].key) if rows else after,
        is_last=len(rows) < limit,
    )


def _lock(connection: Connection, named: dict[str, list[str]]) -> None:
    """Lock keys until this transaction ends; each transaction in the same order."""
    connection.execute(
        text(f"""
SELECT pg_advisory_xact_lock({_LOCK_SPACE}, l.number)
  FROM (SELECT DISTINCT hashtext(k.queue || '/' || k.key) & {_LOCKS - 1} AS number
          FROM {_KEYS} ORDER BY number) l
"""),
        named,
    )


def _lock_free(connection: Connection, named: dict[str, list[str]]) -> dict[str, list[str]]:
    """As `_lock`, without waiting; gives those of the keys that were free."""
    rows = connection.execute(
        text(f"""
SELECT k.queue, k.key FROM {_KEYS}
 WHERE pg_try_advisory_xact_lock({_LOCK_SPACE}, hashtext(k.queue || '/' || k.key) & {_LOCKS - 1})
"""),
        named,
    )
    return _columns((row.queue, row.key) for row in rows)


def _columns(keys: Iterable[Key]) -> dict[str, list[str]]:
    named = sorted(set(keys))
    return {"queues": [queue for queue, _ in named], "keys": [key for _, key in named]}
