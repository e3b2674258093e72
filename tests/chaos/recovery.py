"""How long it took until all was well again, by what clients were told and by the ledger."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable, Sequence
from contextlib import closing
from datetime import datetime

import psycopg

from tests.chaos.history import Exchange
from tests.chaos.strikes import EXECUTOR, Struck
from tests.database import Database

REPORTS = "POST /v1/reports"


def served_again(exchanges: Iterable[Exchange], struck: Sequence[Struck]) -> list[float]:
    """Seconds from each blow to the first answer to a report that was sent after it."""
    answered = sorted(
        (_time(one.sent), _time(one.returned))
        for one in exchanges
        if one.op == REPORTS and one.result == "ok" and one.returned is not None
    )
    sent = [one for one, _ in answered]
    # The earliest answer of all that were sent from here on.
    earliest = [returned for _, returned in answered]
    for number in reversed(range(len(earliest) - 1)):
        earliest[number] = min(earliest[number], earliest[number + 1])
    found = ((blow, bisect_left(sent, blow.at)) for blow in struck)
    return [
        (earliest[number] - blow.at).total_seconds() for blow, number in found if number < len(sent)
    ]


def taken_over(database: Database, struck: Sequence[Struck]) -> list[float]:
    """Seconds from the death of an executor to the next lease of each run that it held."""
    dead = [blow for blow in struck if blow.kind == EXECUTOR]
    with closing(psycopg.connect(database.owner_url)) as owner:
        rows = owner.execute(
            """
            WITH dead AS (
              SELECT * FROM unnest(%s::text[], %s::timestamptz[]) AS d (executor, at))
            SELECT extract(epoch FROM again.at - d.at)::float
              FROM dead d
              JOIN "runEvents" held ON held.kind = 'claimed'
               AND held.executor = d.executor AND held.at < d.at
              JOIN "runEvents" expired ON expired.kind = 'expired'
               AND expired."leaseId" = held."leaseId" AND expired.at > d.at
              CROSS JOIN LATERAL (
                SELECT at FROM "runEvents" next
                 WHERE next."runId" = held."runId" AND next.kind = 'claimed'
                   AND next.seq > expired.seq
                 ORDER BY next.seq LIMIT 1) again
             WHERE NOT EXISTS (
               SELECT FROM dead other
                WHERE other.executor = d.executor AND other.at > held.at AND other.at < d.at)
            """,
            [[blow.who for blow in dead], [blow.at for blow in dead]],
        )
        return [seconds for (seconds,) in rows]


def _time(text: str | None) -> datetime:
    assert text is not None
    return datetime.fromisoformat(text)
