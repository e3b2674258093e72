"""What concerns the claims that are parked: what has come for them, and who gets nothing."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import Connection

from orchestrator.lifecycle import RunState
from orchestrator.store.claim_requests import Key
from orchestrator.store.gates import NOT_GATED
from orchestrator.store.hot import Asked, hot, together
from orchestrator.store.incidents import Process
from orchestrator.store.prepared import Row
from orchestrator.store.sql import text


@dataclass(frozen=True, slots=True)
class Parked:
    """
    A claim that was parked, and for how long.

    Attributes:
        key_id: The token that it was asked with.
    """

    key: Key
    key_id: str
    process: Process
    waited_seconds: float


@dataclass(frozen=True, slots=True)
class Look:
    """
    What has come for those that are parked.

    Attributes:
        runs: Runs that wait to be claimed, by queue; counted as far as they were asked for.
        answered: Requests of which a copy was granted something.
        out_of_service: Processes that get nothing any more.
    """

    runs: dict[str, int]
    answered: set[Key]
    out_of_service: set[Process]


def look(
    connection: Connection,
    *,
    queues: Sequence[str],
    most: int,
    keys: Sequence[Key],
    processes: Sequence[Process],
) -> Look:
    """
    Whether a claim from these queues, by these requests and processes, would be answered:
    one statement for all of them, which locks nothing.

    Args:
        most: Runs of a queue beyond this many are not counted.
    """
    rows = connection.execute(
        text(f"""
SELECT 'runs' AS what, q.name, NULL::uuid AS id, pending.runs
  FROM unnest(CAST(:queues AS text[])) AS q(name)
 CROSS JOIN LATERAL (
   SELECT count(*)::integer AS runs FROM (
     SELECT FROM "workflowRuns" r
      WHERE r."stepQueue" = q.name AND r."runState" = '{RunState.PENDING}' AND {NOT_GATED}
      LIMIT :most) few
   ) pending
 WHERE pending.runs > 0 AND NOT EXISTS (SELECT FROM queues p WHERE p.name = q.name AND p.paused)
UNION ALL
SELECT 'answered', c."tokenName", c."requestId", NULL
  FROM unnest(CAST(:token_names AS text[]), CAST(:request_ids AS uuid[])) AS k(token_name, id)
  JOIN "claimRequests" c ON c."tokenName" = k.token_name AND c."requestId" = k.id
UNION ALL
SELECT 'out-of-service', e."fullName", e.session, NULL
  FROM unnest(CAST(:full_names AS text[]), CAST(:sessions AS uuid[])) AS p(full_name, session)
  JOIN executors e ON e."fullName" = p.full_name AND e.session = p.session
 WHERE e.state <> 'active'
"""),
        {
            "queues": list(queues),
            "most": most,
            "token_names": [token_name for token_name, _ in keys],
            "request_ids": [request_id for _, request_id in keys],
            "full_names": [full_name for full_name, _ in processes],
            "sessions": [session for _, session in processes],
        },
    ).all()
    return Look(
        runs={row.name: row.runs for row in rows if row.what == "runs"},
        answered={(row.name, row.id) for row in rows if row.what == "answered"},
        out_of_service={(row.name, row.id) for row in rows if row.what == "out-of-service"},
    )


def refused_meanwhile(connection: Connection, parked: Sequence[Parked]) -> set[Key]:
    """
    Those of these claims that are to get nothing: since they were asked their process
    has lost a lease, or their token was revoked or has expired.

    To be asked after the claim, in its transaction: a run that came back from a
    lost lease became visible together with the line that says whose it was. A loss
    that is yet to come was noted before the clock stepped back: it says nothing.
    """
    [rows] = together(connection, [refusals_of(parked)])
    return refused_by(rows)


def refusals_of(parked: Sequence[Parked]) -> Asked:
    """What `refused_meanwhile` asks; `refused_by` reads the answer."""
    # They had waited so long when this was sent: after the transaction began, and before a
    # claim that is sent along with it.
    statement = hot("""
SELECT p.token_name, p.request_id
  FROM unnest(CAST(:token_names AS text[]), CAST(:request_ids AS uuid[]), CAST(:key_ids AS text[]),
    CAST(:executors AS text[]), CAST(:sessions AS uuid[]),
    CAST(:waited_seconds AS double precision[]))
    AS p(token_name, request_id, key_id, executor, session, waited_seconds)
 WHERE EXISTS (
   SELECT FROM incidents i
    WHERE i.executor = p.executor AND i.session = p.session
      AND i.at BETWEEN transaction_timestamp() - make_interval(secs => p.waited_seconds)
                   AND clock_timestamp())
    OR EXISTS (
   SELECT FROM "accessTokens" a
    WHERE a."keyId" = p.key_id
      AND (a."revokedAt" IS NOT NULL OR a."expiresAt" <= clock_timestamp()))
""")
    return statement, {
        "token_names": [one.key[0] for one in parked],
        "request_ids": [one.key[1] for one in parked],
        "key_ids": [one.key_id for one in parked],
        "executors": [one.process[0] for one in parked],
        "sessions": [one.process[1] for one in parked],
        "waited_seconds": [one.waited_seconds for one in parked],
    }


def refused_by(rows: Sequence[Row]) -> set[Key]:
    """The claims that an answer to `refusals_of` names."""
    return {(row[0], row[1]) for row in rows}
