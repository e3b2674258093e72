"""What operators and clients did: one line for each act, in the transaction that did it.

Append-only, as the runs' ledger is. A run's own event says what an act did to it; the
line says who asked for what, also of what is no run: queues, executors, tokens.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from uuid import UUID

import orjson
from sqlalchemy import Connection

from orchestrator.lifecycle import ActKind
from orchestrator.store.records import Json
from orchestrator.store.sql import text


@dataclass(frozen=True, slots=True)
class OperatorAct:
    """
    What is to be noted of an act.

    Attributes:
        id: UUIDv7, one for each request: however often that is tried, it is one line.
        actor: The token's name, or `cli:<user>` on the command line.
        key_id: Which token; None on the command line, as is `request_id`.
        subject: What it was done to: a run's id, or a name.
        queue: Who may see that queue may see the line; None: who may see all.
        detail: What was asked for; never a payload, never a secret.
    """

    id: UUID
    actor: str
    kind: ActKind
    subject: str
    key_id: str | None = None
    request_id: str | None = None
    queue: str | None = None
    detail: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class NotedAct:
    """A line as it stands."""

    id: UUID
    at: datetime
    actor: str
    key_id: str | None
    request_id: str | None
    kind: str
    subject: str
    queue: str | None
    detail: Json


@dataclass(frozen=True, slots=True)
class ActFilter:
    """What a list asks for; every part narrows it."""

    actor: str | None = None
    kind: ActKind | None = None
    subject: str | None = None


def note(connection: Connection, act: OperatorAct) -> None:
    """Write an act down; once, also when its transaction is done again after a lost COMMIT."""
    connection.execute(
        text("""
INSERT INTO "operatorActs" (id, at, actor, "keyId", "requestId", kind, subject, queue, detail)
VALUES (:id, clock_timestamp(), :actor, :key_id, :request_id, :kind, :subject, :queue,
        jsonb_strip_nulls(CAST(:detail AS jsonb)))
ON CONFLICT (id) DO NOTHING
"""),
        {
            "id": act.id,
            "actor": act.actor,
            "key_id": act.key_id,
            "request_id": act.request_id,
            "kind": act.kind,
            "subject": act.subject,
            "queue": act.queue,
            "detail": orjson.dumps(act.detail).decode(),
        },
    )


def list_acts(
    connection: Connection,
    *,
    queue_patterns: Sequence[str],
    wanted: ActFilter,
    before: UUID | None,
    limit: int,
    down_to: UUID | None = None,
) -> list[NotedAct]:
    """
    Acts on these queues, newest first; those on no queue for whoever sees all queues.

    Args:
        queue_patterns: What the token covers: exact names, prefixes, or *.
        before: The last id of the previous page.
        down_to: Nothing older than this line is looked at.
    """
    rows = connection.execute(
        text("""
SELECT a.id, a.at, a.actor, a."keyId" AS key_id, a."requestId" AS request_id, a.kind, a.subject,
       a.queue, a.detail
  FROM "operatorActs" a
 WHERE (CAST(:before AS uuid) IS NULL OR a.id < :before)
   AND (CAST(:actor AS text) IS NULL OR a.actor = :actor)
   AND (CAST(:down_to AS uuid) IS NULL OR a.id >= :down_to)
   AND (CAST(:kind AS text) IS NULL OR a.kind = :kind)
   AND (CAST(:subject AS text) IS NULL OR a.subject = :subject)
   AND EXISTS (SELECT FROM unnest(CAST(:patterns AS text[])) AS p(pattern)
     WHERE p.pattern = '*' OR p.pattern = a.queue
        OR (p.pattern LIKE '%.*' AND starts_with(a.queue, left(p.pattern, -1))))
 ORDER BY a.id DESC LIMIT :limit
"""),
        {
            "before": before,
            "actor": wanted.actor,
            "kind": wanted.kind,
            "subject": wanted.subject,
            "down_to": down_to,
            "patterns": list(queue_patterns),
            "limit": limit,
        },
    )
    return [NotedAct(**row._mapping) for row in rows]  # noqa: SLF001


def line_before(connection: Connection, before: UUID | None, *, lines: int) -> UUID | None:
    """The line that is so many lines older than `before`, or than all; None when there is none."""
    return connection.execute(
        text("""
SELECT id FROM "operatorActs" WHERE CAST(:before AS uuid) IS NULL OR id < :before
 ORDER BY id DESC OFFSET :lines - 1 LIMIT 1
"""),
        {"before": before, "lines": lines},
    ).scalar_one_or_none()


def prune(connection: Connection, *, retention_days: int, limit: int) -> int:
    """Delete acts that are older, of the `limit` oldest; returns how many."""
    pruned: int = connection.execute(
        text("""
SELECT dibs_prune_acts(clock_timestamp() - make_interval(days => :retention_days), :limit)
"""),
        {"retention_days": retention_days, "limit": limit},
    ).scalar_one()
    return pruned
