"""Bulk acts: how far each has come, so that it goes on, and is repeated, exactly.

A bulk act passes the runs of its filter from the newest down. What is done to a
run and the step past it are one transaction: whatever is killed, or sent twice
at once, no run is passed twice and none is counted that was not.
"""

from __future__ import annotations

from dataclasses import dataclass
from uuid import UUID

from sqlalchemy import Connection

from orchestrator.store.sql import text

KEEP_DAYS = 7


@dataclass(frozen=True, slots=True)
class BulkKey:
    """Whose bulk act it is, and the key that it is repeated by."""

    token_name: str
    idempotency_key: str


@dataclass(frozen=True, slots=True)
class Progress:
    """
    How far a bulk act has come.

    Attributes:
        before: Every matching run from this id on has been passed.
        is_over: All have been.
        matched: Runs passed: changed, refused, or as asked for already.
    """

    body_hash: bytes
    before: UUID
    is_over: bool
    matched: int
    changed: int
    refused: int


def begin(connection: Connection, key: BulkKey, *, body_hash: bytes, before: UUID) -> bool:
    """
    Begin a bulk act.

    Args:
        before: An id beyond every run that is part of it.

    Returns:
        False when this key has begun one before; that one goes on.
    """
    return bool(
        connection.execute(
            text("""
INSERT INTO "bulkActs" ("tokenName", "idempotencyKey", "bodyHash", at, before, "isOver",
                        matched, changed, refused)
VALUES (:token_name, :idempotency_key, :body_hash, clock_timestamp(), :before, false, 0, 0, 0)
ON CONFLICT DO NOTHING
"""),
            {**_named(key), "body_hash": body_hash, "before": before},
        ).rowcount
    )


def progress(connection: Connection, key: BulkKey) -> Progress | None:
    """How far a bulk act has come; None when none has begun."""
    row = connection.execute(
        text("""
SELECT "bodyHash", before, "isOver", matched, changed, refused FROM "bulkActs"
 WHERE "tokenName" = :token_name AND "idempotencyKey" = :idempotency_key
"""),
        _named(key),
    ).one_or_none()
    return None if row is None else Progress(bytes(row[0]), *row[1:])


def advance(
    connection: Connection, key: BulkKey, *, past: UUID, changed: bool, refused: bool
) -> bool:
    """
    Note that a run has been passed, in the transaction that did it.

    Returns:
        False when another copy of the request has passed it already.
    """
    return bool(
        connection.execute(
            text("""
UPDATE "bulkActs" SET before = :past, matched = matched + 1,
    changed = changed + CAST(:changed AS boolean)::integer,
    refused = refused + CAST(:refused AS boolean)::integer
 WHERE "tokenName" = :token_name AND "idempotencyKey" = :idempotency_key AND before > :past
"""),
            {**_named(key), "past": past, "changed": changed, "refused": refused},
        ).rowcount
    )


def skip(connection: Connection, key: BulkKey, *, through: UUID) -> None:
    """Note that no run down to this one is left to be passed."""
    connection.execute(
        text("""
UPDATE "bulkActs" SET before = :through
 WHERE "tokenName" = :token_name AND "idempotencyKey" = :idempotency_key AND before > :through
"""),
        {**_named(key), "through": through},
    )


def end(connection: Connection, key: BulkKey) -> None:
    """Note that every run has been passed."""
    connection.execute(
        text("""
UPDATE "bulkActs" SET "isOver" = true
 WHERE "tokenName" = :token_name AND "idempotencyKey" = :idempotency_key
"""),
        _named(key),
    )


def drop_old(connection: Connection) -> int:
    """Drop what was begun more than a week ago; returns how many."""
    return connection.execute(
        text(f"""
DELETE FROM "bulkActs" WHERE at < clock_timestamp() - interval '{KEEP_DAYS} days'
""")
    ).rowcount


def _named(key: BulkKey) -> dict[str, str]:
    return {"token_name": key.token_name, "idempotency_key": key.idempotency_key}
