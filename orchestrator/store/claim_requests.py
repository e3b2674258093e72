"""What each claim got, so that its repeat gets the same and never more.

The row is written first in the claim's transaction: the second of two copies
waits for the first one's COMMIT and then replays. A claim that found nothing
leaves no row.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from uuid import UUID

from sqlalchemy import Connection

from orchestrator.store.sql import text

KEEP_HOURS = 24


@dataclass(frozen=True, slots=True)
class ClaimRequest:
    """A claim by its key; `body_hash` tells a repeat from another claim."""

    token_name: str
    request_id: UUID
    session: UUID
    body_hash: bytes


@dataclass(frozen=True, slots=True)
class Granted:
    """What a claim request got when it was first asked."""

    body_hash: bytes
    run_ids: tuple[UUID, ...]
    lease_ids: tuple[UUID, ...]


def register(connection: Connection, requests: Sequence[ClaimRequest]) -> set[tuple[str, UUID]]:
    """
    Write requests down; those that were asked before are left alone.

    Waits for another transaction that is writing the same request.

    Returns:
        The keys (token's name, request id) that are new.
    """
    rows = connection.execute(
        text("""
INSERT INTO "claimRequests" ("tokenName", "requestId", session, "bodyHash", at)
SELECT q.*, clock_timestamp()
  FROM unnest(CAST(:token_names AS text[]), CAST(:request_ids AS uuid[]),
    CAST(:sessions AS uuid[]), CAST(:body_hashes AS bytea[]))
    AS q(token_name, request_id, session, body_hash)
 ORDER BY q.token_name, q.request_id
ON CONFLICT ("tokenName", "requestId") DO NOTHING
RETURNING "tokenName", "requestId"
"""),
        {
            "token_names": [request.token_name for request in requests],
            "request_ids": [request.request_id for request in requests],
            "sessions": [request.session for request in requests],
            "body_hashes": [request.body_hash for request in requests],
        },
    )
    return {(row[0], row[1]) for row in rows}


def settle(
    connection: Connection,
    token_name: str,
    request_id: UUID,
    *,
    run_ids: Sequence[UUID],
    lease_ids: Sequence[UUID],
) -> None:
    """Keep what a new request got."""
    connection.execute(
        text("""
UPDATE "claimRequests" SET "runIds" = :run_ids, "leaseIds" = :lease_ids
 WHERE "tokenName" = :token_name AND "requestId" = :request_id
"""),
        {
            "token_name": token_name,
            "request_id": request_id,
            "run_ids": list(run_ids),
            "lease_ids": list(lease_ids),
        },
    )


def granted(connection: Connection, token_name: str, request_id: UUID) -> Granted | None:
    """What this request got, if it was asked before."""
    row = connection.execute(
        text("""
SELECT "bodyHash", coalesce("runIds", '{}'), coalesce("leaseIds", '{}') FROM "claimRequests"
 WHERE "tokenName" = :token_name AND "requestId" = :request_id
"""),
        {"token_name": token_name, "request_id": request_id},
    ).one_or_none()
    return None if row is None else Granted(bytes(row[0]), tuple(row[1]), tuple(row[2]))


def drop_old(connection: Connection, *, limit: int) -> int:
    """Drop requests that are older than a day; returns how many."""
    return connection.execute(
        text(f"""
DELETE FROM "claimRequests" c USING (
  SELECT "tokenName", "requestId" FROM "claimRequests"
   WHERE at < clock_timestamp() - interval '{KEEP_HOURS} hours'
   ORDER BY at LIMIT :limit FOR UPDATE SKIP LOCKED) o
 WHERE c."tokenName" = o."tokenName" AND c."requestId" = o."requestId"
"""),
        {"limit": limit},
    ).rowcount
