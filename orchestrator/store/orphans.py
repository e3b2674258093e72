"""Orphans: leases of lost claim replies, which nobody can know he holds."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from sqlalchemy import Connection

from orchestrator.lifecycle import Ending, RunState
from orchestrator.store.endings import AMNESTY_OVER, KEEPER_AWAKE
from orchestrator.store.leases import OWNED
from orchestrator.store.sql import text
from orchestrator.store.verdict import EndedLease, end_leases, ended, ending_columns


@dataclass(frozen=True, slots=True)
class Reconciliation:
    """What one session says it waits for, and since when it can be believed.

    `as_of` is the server time of the last renewal answer that the executor had
    received when it composed the request.
    """

    token_name: str
    session: UUID
    claiming: tuple[UUID, ...]
    as_of: datetime
    request_id: str | None = None


def release_orphans(
    connection: Connection, reconciliation: Reconciliation, *, named: Sequence[UUID]
) -> list[EndedLease]:
    """
    Free the leases of lost claim replies.

    An orphan is a lease of this session that is still loading, is not named,
    does not come from a claim that the executor waits for, and was granted
    before `as_of`. Right under every delay, repeat and order of heartbeats: a
    claim sent after this request was composed is granted after `as_of`, unless
    the clock stepped back in between; an `as_of` that is yet to come tells so.

    Args:
        named: Every lease id that the executor named.
    """
    statement = end_leases(f"""
  SELECT r.*, {
        ending_columns(
            Ending.ORPHANED,
            request_id="CAST(:request_id AS text)",
            actor="CAST(:token_name AS text)",
        )
    }
    FROM "workflowRuns" r
   WHERE {
        _orphan(
            session=":session",
            holder=":token_name",
            as_of=":as_of",
            named="CAST(:named AS uuid[])",
            claiming="CAST(:claiming AS uuid[])",
        )
    }
     AND {AMNESTY_OVER}
     AND {KEEPER_AWAKE}
   ORDER BY r.id FOR UPDATE OF r SKIP LOCKED""")
    return ended(
        connection,
        statement,
        {
            "token_name": reconciliation.token_name,
            "session": reconciliation.session,
            "as_of": reconciliation.as_of,
            "claiming": list(reconciliation.claiming),
            "named": list(named),
            "request_id": reconciliation.request_id,
        },
    )


def with_orphans(
    connection: Connection, said: Sequence[tuple[Reconciliation, Sequence[UUID]]]
) -> set[int]:
    """
    The places of those sessions that have orphans, to be freed or not yet.

    Args:
        said: What each session says, and every lease id that it named.
    """
    rows = connection.execute(
        text(f"""
WITH said AS (
  SELECT * FROM unnest(CAST(:token_names AS text[]), CAST(:sessions AS uuid[]),
    CAST(:as_ofs AS timestamptz[]))
    WITH ORDINALITY AS s(token_name, session, as_of, place)),
named AS (
  SELECT * FROM unnest(CAST(:named_by AS integer[]), CAST(:named AS uuid[])) AS n(place, id)),
claiming AS (
  SELECT * FROM unnest(CAST(:claimed_by AS integer[]), CAST(:claiming AS uuid[])) AS c(place, id))
SELECT s.place - 1 FROM said s
 WHERE EXISTS (
   SELECT FROM "workflowRuns" r
    WHERE {
            _orphan(
                session="s.session",
                holder="s.token_name",
                as_of="s.as_of",
                named="ARRAY(SELECT n.id FROM named n WHERE n.place = s.place)",
                claiming="ARRAY(SELECT l.id FROM claiming l WHERE l.place = s.place)",
            )
        })
"""),
        {
            "token_names": [each.token_name for each, _ in said],
            "sessions": [each.session for each, _ in said],
            "as_ofs": [each.as_of for each, _ in said],
            "named_by": [place for place, (_, ids) in enumerate(said, 1) for _ in ids],
            "named": [one for _, ids in said for one in ids],
            "claimed_by": [place for place, (each, _) in enumerate(said, 1) for _ in each.claiming],
            "claiming": [one for each, _ in said for one in each.claiming],
        },
    )
    return set(rows.scalars())


def _orphan(*, session: str, holder: str, as_of: str, named: str, claiming: str) -> str:
    """
    A lease that nobody can know he holds, as a condition on `"workflowRuns" r`.

    What it means stands at `release_orphans`. The arguments are SQL expressions; `holder` is
    the name of the session's token, `named` and `claiming` are of uuid[].
    """
    return f"""r."leaseId" IS NOT NULL AND r."lockedSession" = {session}
     AND {OWNED} = {holder}
     AND r."runState" = '{RunState.LOADING}'
     AND r."lockedAt" < {as_of} AND {as_of} <= clock_timestamp()
     AND r."leaseId" <> ALL ({named})
     AND NOT EXISTS (
       SELECT FROM "claimRequests" c
        WHERE c."tokenName" = {holder} AND c."requestId" = ANY ({claiming})
          AND r."leaseId" = ANY (c."leaseIds"))"""
