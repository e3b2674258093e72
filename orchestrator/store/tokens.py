"""Access tokens: only the hash of a secret is kept, and a name stays its owner's."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import Connection, RowMapping

from orchestrator.store.sql import text

ACTIVE_PER_NAME = 2


@dataclass(frozen=True, slots=True)
class AccessToken:
    """
    A token without its secret.

    Attributes:
        development: Made to try Dibs out on one machine; good on a loopback address only.
        compat_hash: Of its secret at the adapter for another orchestrator's executors; None:
            it is no good there.
    """

    key_id: str
    name: str
    role: str
    secret_hash: bytes
    queues: tuple[str, ...]
    created_at: datetime
    expires_at: datetime | None
    revoked_at: datetime | None
    development: bool
    compat_hash: bytes | None
    active: bool


_COLUMNS = """"keyId" AS key_id, name, role, "secretHash" AS secret_hash, queues,
  "createdAt" AS created_at, "expiresAt" AS expires_at, "revokedAt" AS revoked_at, development,
  "compatHash" AS compat_hash,
  "revokedAt" IS NULL AND ("expiresAt" IS NULL OR "expiresAt" > clock_timestamp()) AS active"""


def find(connection: Connection, key_id: str) -> AccessToken | None:
    """A token by its public half; `active` is decided by the database's clock."""
    rows = connection.execute(
        text(f'SELECT {_COLUMNS} FROM "accessTokens" WHERE "keyId" = :key_id'), {"key_id": key_id}
    )
    return next(iter(_tokens(rows.mappings())), None)


def version_of_active(connection: Connection) -> str:
    """
    A text that is another one as soon as the active tokens are others.

    It changes with any of their columns, and when one expires by the database's clock.
    """
    version: str = connection.execute(
        text("""
SELECT count(*) || ':' || coalesce(sum(hashtextextended(CAST(t AS text), 0)), 0)
  FROM "accessTokens" t
 WHERE "revokedAt" IS NULL AND ("expiresAt" IS NULL OR "expiresAt" > clock_timestamp())
""")
    ).scalar_one()
    return version


def list_active(connection: Connection, *, development: bool) -> list[AccessToken]:
    """
    All tokens that are neither revoked nor expired by the database's clock.

    Args:
        development: Whether development tokens are good here.
    """
    rows = connection.execute(
        text(f"""
SELECT * FROM (SELECT {_COLUMNS} FROM "accessTokens") t
 WHERE active AND (CAST(:development AS boolean) OR NOT development)
"""),
        {"development": development},
    )
    return _tokens(rows.mappings())


def active_development_names(connection: Connection) -> list[str]:
    """Whose development tokens are neither revoked nor expired, by name."""
    return list(
        connection.execute(
            text(f"""
SELECT DISTINCT name FROM (SELECT {_COLUMNS} FROM "accessTokens" WHERE development) t
 WHERE active ORDER BY name
""")
        ).scalars()
    )


def list_tokens(connection: Connection, *, name: str | None = None) -> list[AccessToken]:
    """Every token, or those of one name, by name and age."""
    rows = connection.execute(
        text(f"""
SELECT {_COLUMNS} FROM "accessTokens"
 WHERE CAST(:name AS text) IS NULL OR name = :name ORDER BY name, "createdAt"
"""),
        {"name": name},
    )
    return _tokens(rows.mappings())


def create(
    connection: Connection,
    *,
    key_id: str,
    name: str,
    role: str,
    secret_hash: bytes,
    queues: Sequence[str],
    lasts: timedelta | None,
    development: bool,
    compat_hash: bytes | None,
) -> None:
    """Write a new token down; the caller has locked its name (`lock_name`)."""
    connection.execute(
        text("""
INSERT INTO "accessTokens" ("keyId", name, role, "secretHash", queues, "createdAt", "expiresAt",
                            development, "compatHash")
VALUES (:key_id, :name, :role, :secret_hash, :queues, clock_timestamp(),
        clock_timestamp() + CAST(:lasts AS interval), :development, CAST(:compat_hash AS bytea))
"""),
        {
            "key_id": key_id,
            "name": name,
            "role": role,
            "secret_hash": secret_hash,
            "queues": list(queues),
            "lasts": lasts,
            "development": development,
            "compat_hash": compat_hash,
        },
    )


def mark_development(connection: Connection, key_id: str) -> None:
    """Let a token be good on a loopback address only, from now on."""
    connection.execute(
        text("""
UPDATE "accessTokens" SET development = true WHERE "keyId" = :key_id AND NOT development
"""),
        {"key_id": key_id},
    )


def lock_name(connection: Connection, name: str) -> None:
    """Keep every other transaction from making tokens of this name until this one ends."""
    connection.execute(
        text("SELECT pg_advisory_xact_lock(hashtextextended('dibs token ' || :name, 0))"),
        {"name": name},
    )


def revoke(connection: Connection, *, name: str | None = None, key_id: str | None = None) -> int:
    """Revoke every token of a name, or one by its key id; returns how many were active."""
    return connection.execute(
        text("""
UPDATE "accessTokens" SET "revokedAt" = clock_timestamp()
 WHERE "revokedAt" IS NULL AND (name = CAST(:name AS text) OR "keyId" = CAST(:key_id AS text))
"""),
        {"name": name, "key_id": key_id},
    ).rowcount


def _tokens(rows: Iterable[RowMapping]) -> list[AccessToken]:
    return [
        AccessToken(
            **{
                **row,
                "queues": tuple(row["queues"]),
                "secret_hash": bytes(row["secret_hash"]),
                "compat_hash": row["compat_hash"] and bytes(row["compat_hash"]),
            }
        )
        for row in rows
    ]
