"""The adapter's executors: which start of each claims, and from where.

One secret is one process. Two that share one would end each other's leases without
knowing, so the second address that is seen with a secret gets nothing while the first is
in use.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final
from uuid import UUID

from sqlalchemy import Connection

from orchestrator.store.sql import text

# An address is in use for so long after it was last seen.
ADDRESS_SECONDS: Final = 60
# For so long a second one is told of.
TOLD_MINUTES: Final = 10
MOST_TOLD: Final = 100

_IS_FREE = f"""(e.address = excluded.address
    OR e."seenAt" < excluded."seenAt" - interval '{ADDRESS_SECONDS} seconds')"""


@dataclass(frozen=True, slots=True)
class SecondAddress:
    """An executor whose secret was seen at another address while the first was in use."""

    token_name: str
    address: str
    other_address: str
    other_at: datetime
    queues: list[str]


@dataclass(frozen=True, slots=True)
class Sighted:
    """
    An executor that may claim.

    Attributes:
        session: Its present start.
        queues: Those that it is registered for; None when it is not registered.
    """

    session: UUID
    queues: list[str] | None


def sight(
    connection: Connection, token_name: str, *, address: str, session: UUID, starts: bool
) -> Sighted | None:
    """
    Note that an executor asks, at this address.

    Args:
        session: Of its new start, or in case that none is known.
        starts: Whether it says that it has just started.

    Returns:
        None when another address is in use, so that it gets nothing here.
    """
    session_now, is_here, queues = connection.execute(
        text(f"""
INSERT INTO "compatExecutors" AS e ("tokenName", session, address, "seenAt")
VALUES (:token_name, :session, :address, clock_timestamp())
ON CONFLICT ("tokenName") DO UPDATE SET
  session = CASE WHEN {_IS_FREE} AND :starts THEN excluded.session ELSE e.session END,
  address = CASE WHEN {_IS_FREE} THEN excluded.address ELSE e.address END,
  "seenAt" = CASE WHEN {_IS_FREE} THEN excluded."seenAt" ELSE e."seenAt" END,
  "otherAddress" = CASE WHEN {_IS_FREE} THEN e."otherAddress" ELSE excluded.address END,
  "otherAt" = CASE WHEN {_IS_FREE} THEN e."otherAt" ELSE excluded."seenAt" END
RETURNING e.session, e.address = :address,
  (SELECT x.queues FROM executors x WHERE x."fullName" = e."tokenName" AND x.session = e.session)
"""),
        {"token_name": token_name, "session": session, "address": address, "starts": starts},
    ).one()
    return Sighted(session_now, queues) if is_here else None


def serve(connection: Connection, token_name: str, session: UUID, queues: Sequence[str]) -> None:
    """Register these queues too for an executor that claims from them."""
    connection.execute(
        text("""
UPDATE executors e SET queues = ARRAY(
  SELECT DISTINCT q FROM unnest(e.queues || CAST(:queues AS text[])) AS q ORDER BY q)
 WHERE e."fullName" = :token_name AND e.session = :session
"""),
        {"token_name": token_name, "session": session, "queues": list(queues)},
    )


def second_addresses(connection: Connection) -> list[SecondAddress]:
    """Where secrets were lately seen at a second address, by name; `MOST_TOLD` at most."""
    rows = connection.execute(
        text(f"""
SELECT c."tokenName" AS token_name, c.address, c."otherAddress" AS other_address,
       c."otherAt" AS other_at, coalesce(e.queues, '{{}}') AS queues
  FROM "compatExecutors" c
  LEFT JOIN executors e ON e."fullName" = c."tokenName" AND e.session = c.session
 WHERE c."otherAt" > clock_timestamp() - interval '{TOLD_MINUTES} minutes'
 ORDER BY c."tokenName" LIMIT {MOST_TOLD}
""")
    )
    return [SecondAddress(**row._mapping) for row in rows]  # noqa: SLF001
