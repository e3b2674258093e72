"""Definitions: immutable versions, of which one is current."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Connection

from orchestrator.store.records import Json
from orchestrator.store.sql import text

SEEN_WITHIN_SECONDS = 90


@dataclass(frozen=True, slots=True)
class NewDefinition:
    """A definition to keep; `definition`, and `steps` by their names, are JSON text."""

    name: str
    definition: str
    first_step: str
    steps: str
    content_hash: bytes
    actor: str


@dataclass(frozen=True, slots=True)
class Definition:
    """One version of a workflow."""

    name: str
    version: int
    is_current: bool
    definition: Json
    created_by: str
    created_at: datetime


@dataclass(frozen=True, slots=True)
class Summary:
    """
    A workflow as a list shows it.

    Attributes:
        version: The current one.
        versions: How many there are.
        steps: How many the current one has.
    """

    name: str
    version: int
    versions: int
    steps: int
    step_types: list[str]
    changed_by: str
    changed_at: datetime


def put(connection: Connection, new: NewDefinition) -> int:
    """
    Make a definition the current one of its name.

    The same content is the same version, also when another one was current
    meanwhile. Waits for another transaction that puts the same workflow.

    Returns:
        The version.
    """
    connection.execute(
        text("SELECT pg_advisory_xact_lock(hashtextextended('dibs workflow ' || :name, 0))"),
        {"name": new.name},
    )
    connection.execute(
        text("""
INSERT INTO workflows (name, version, definition, "firstStep", steps, "contentHash", "createdBy",
  "createdAt")
SELECT :name, coalesce(max(version), 0) + 1, CAST(:definition AS jsonb), :first_step,
       CAST(:steps AS jsonb), :content_hash, :actor, clock_timestamp()
  FROM workflows WHERE name = :name
ON CONFLICT (name, "contentHash") DO NOTHING
"""),
        {
            "name": new.name,
            "definition": new.definition,
            "first_step": new.first_step,
            "steps": new.steps,
            "content_hash": new.content_hash,
            "actor": new.actor,
        },
    )
    version: int = connection.execute(
        text("""
INSERT INTO "currentWorkflows" AS c (name, version, "changedBy", "changedAt")
SELECT name, version, :actor, clock_timestamp() FROM workflows
 WHERE name = :name AND "contentHash" = :content_hash
ON CONFLICT (name) DO UPDATE SET version = excluded.version, "changedBy" = excluded."changedBy",
  "changedAt" = excluded."changedAt"
RETURNING version
"""),
        {"name": new.name, "content_hash": new.content_hash, "actor": new.actor},
    ).scalar_one()
    return version


def find(connection: Connection, name: str, *, version: int | None = None) -> Definition | None:
    """One version of a workflow; the current one unless told otherwise."""
    row = connection.execute(
        text("""
SELECT w.name, w.version, w.version = c.version AS is_current, w.definition,
       w."createdBy" AS created_by, w."createdAt" AS created_at
  FROM workflows w JOIN "currentWorkflows" c ON c.name = w.name
 WHERE w.name = :name AND w.version = coalesce(CAST(:version AS integer), c.version)
"""),
        {"name": name, "version": version},
    ).one_or_none()
    return None if row is None else Definition(**row._mapping)  # noqa: SLF001


def list_current(connection: Connection) -> list[Definition]:
    """The current version of every workflow, by name."""
    rows = connection.execute(
        text("""
SELECT w.name, w.version, true AS is_current, w.definition, w."createdBy" AS created_by,
       w."createdAt" AS created_at
  FROM "currentWorkflows" c JOIN workflows w ON w.name = c.name AND w.version = c.version
 ORDER BY w.name
""")
    )
    return [Definition(**row._mapping) for row in rows]  # noqa: SLF001


def summaries(connection: Connection, *, limit: int) -> list[Summary]:
    """Every workflow that is defined, by name."""
    rows = connection.execute(
        text("""
SELECT c.name, c.version,
       (SELECT count(*) FROM workflows other WHERE other.name = c.name) AS versions,
       jsonb_array_length(w.definition->'steps') AS steps,
       ARRAY(SELECT DISTINCT step->>'type' FROM jsonb_array_elements(w.definition->'steps') step
              ORDER BY 1) AS step_types,
       c."changedBy" AS changed_by, c."changedAt" AS changed_at
  FROM "currentWorkflows" c JOIN workflows w ON w.name = c.name AND w.version = c.version
 ORDER BY c.name LIMIT :limit
"""),
        {"limit": limit},
    )
    return [Summary(**row._mapping) for row in rows]  # noqa: SLF001


def versions(connection: Connection, name: str) -> list[int]:
    """Every version of a workflow, oldest first."""
    return list(
        connection.execute(
            text("SELECT version FROM workflows WHERE name = :name ORDER BY version"),
            {"name": name},
        ).scalars()
    )


def served_step_types(connection: Connection) -> set[str]:
    """The step types that executors seen lately say they serve."""
    return set(
        connection.execute(
            text(f"""
SELECT DISTINCT t.step_type FROM executors e CROSS JOIN LATERAL unnest(e."stepTypes") t(step_type)
 WHERE e."seenAt" > clock_timestamp() - interval '{SEEN_WITHIN_SECONDS} seconds'
""")
        ).scalars()
    )
