"""What each claim got, so that its repeat gets the same and never more.

Of two copies of a request one transaction at a time works: its key is an
advisory lock. The row is written in the claim's own statement and transaction;
a claim that found nothing leaves none.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from uuid import UUID

from sqlalchemy import Connection

from orchestrator.store.hot import hot
from orchestrator.store.sql import text

KEEP_HOURS = 24

Key = tuple[str, UUID]
"""A request: the name of the token that sent it, and its own id."""

# Two requests that share a lock by chance wait for each other, and that is all.
_LOCK = "hashtextextended(q.token_name || '/' || q.request_id::text, 0)"
_KEYS = """unnest(CAST(:token_names AS text[]), CAST(:request_ids AS uuid[]))
    WITH ORDINALITY AS q(token_name, request_id, place)"""


@dataclass(frozen=True, slots=True)
class ClaimRequest:
    """A claim by its key; `body_hash` tells a repeat from another claim."""

    token_name: str
    request_id: UUID
    session: UUID
    body_hash: bytes

    @property
    def key(self) -> Key:
        return (self.token_name, self.request_id)


@dataclass(frozen=True, slots=True)
class Granted:
    """What a claim request got when it was first asked."""

    body_hash: bytes
    run_ids: tuple[UUID, ...]
    lease_ids: tuple[UUID, ...]


def lock(connection: Connection, key: Key) -> None:
    """Keep every copy of a request out until this transaction ends; waits for one that is in."""
    connection.execute(
        text(f"""
SELECT pg_advisory_xact_lock({_LOCK})
  FROM (SELECT CAST(:token_name AS text) AS token_name,
               CAST(:request_id AS uuid) AS request_id) q
"""),
        {"token_name": key[0], "request_id": key[1]},
    )


def lock_free(connection: Connection, keys: Sequence[Key]) -> list[bool]:
    """As `lock` for each of them that is free, without waiting; says for each whether it was."""
    rows = hot(f"""
SELECT pg_try_advisory_xact_lock({_LOCK}) FROM {_KEYS} ORDER BY q.place
""").rows(connection, _columns(keys))
    return [is_free for (is_free,) in rows]


def granted(connection: Connection, keys: Sequence[Key]) -> dict[Key, Granted]:
    """What these requests got, those among them that got something."""
    rows = connection.execute(
        text(f"""
SELECT c."tokenName", c."requestId", c."bodyHash", c."runIds", c."leaseIds"
  FROM {_KEYS}
  JOIN "claimRequests" c ON c."tokenName" = q.token_name AND c."requestId" = q.request_id
"""),
        _columns(keys),
    )
    return {(row[0], row[1]): Granted(bytes(row[2]), tuple(row[3]), tuple(row[4])) for row in rows}


def keep(connection: Connection, request: ClaimRequest, *, run_id: UUID, lease_id: UUID) -> None:
    """Keep what a claim of one run got; `claims.claim` does so by itself."""
    connection.execute(
        text("""
INSERT INTO "claimRequests" ("tokenName", "requestId", session, "bodyHash", at, "runIds",
                             "leaseIds")
VALUES (:token_name, :request_id, :session, :body_hash, clock_timestamp(),
        ARRAY[CAST(:run_id AS uuid)], ARRAY[CAST(:lease_id AS uuid)])
"""),
        {
            "token_name": request.token_name,
            "request_id": request.request_id,
            "session": request.session,
            "body_hash": request.body_hash,
            "run_id": run_id,
            "lease_id": lease_id,
        },
    )


def drop_old(connection: Connection, *, limit: int) -> int:
    """Drop requests that are older than a day; returns how many."""
    # A clock read in a sub-select is read once and bounds the walk along the index; a
    # join would read the whole table, for a plan does not know the LIMIT.
    return connection.execute(
        text(f"""
DELETE FROM "claimRequests" WHERE ctid = ANY (ARRAY(
  SELECT ctid FROM "claimRequests"
   WHERE at < (SELECT clock_timestamp()) - interval '{KEEP_HOURS} hours'
   ORDER BY at LIMIT :limit FOR UPDATE SKIP LOCKED))
"""),
        {"limit": limit},
    ).rowcount


def _columns(keys: Sequence[Key]) -> dict[str, list[str] | list[UUID]]:
    return {
        "token_names": [token_name for token_name, _ in keys],
        "request_ids": [request_id for _, request_id in keys],
    }
