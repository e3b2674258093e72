"""Contention: what claims cost, who is refused, and what keeps the database from being quick."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Self

from flask import Response

from orchestrator.api.access import WATCHERS, caller
from orchestrator.api.context import services
from orchestrator.metrics.catalogue import Desk, Pool
from orchestrator.metrics.minute import Minute
from orchestrator.pages.blueprint import page, pages
from orchestrator.pages.sparkline import HEIGHT, STEP, sparkline
from orchestrator.pages.template import screen
from orchestrator.store.activity import MINUTE, Counted, Point, series
from orchestrator.store.transaction import transact

MINUTES_SHOWN: Final = 60

_SHOWN: Final = {
    Counted.CLAIMED: "Runs claimed",
    Counted.REPORTED: "Steps reported",
    Counted.REFUSED: "Refused",
    Counted.REPLAYED: "Replayed",
    Counted.RELEASED: "Leases given back",
    Counted.EXPIRED: "Leases run out",
    Counted.RETRIED: "Retried",
}
_GATHERED_SECONDS: Final = "dibs_gathered_transaction_seconds"
_CONNECTIONS: Final = "dibs_database_connections"


@dataclass(frozen=True, slots=True)
class Trend:
    """What happened in each of the last minutes that are over, in the viewer's queues."""

    name: str
    numbers: list[int]


@dataclass(frozen=True, slots=True)
class Claims:
    """
    What all processes of this server have answered lately.

    Attributes:
        p99_seconds: 99 of 100 transactions that serve claims took no longer.
        commits: Transactions that leased runs, for each claim that got one.
    """

    per_second: float | None
    runs_per_second: float | None
    empty_per_second: float | None
    replayed: int
    p99_seconds: float | None
    commits: float | None

    @classmethod
    def of(cls, minute: Minute) -> Self:
        def a_second(number: float) -> float | None:
            return number / minute.seconds if minute.seconds >= 1 else None

        granted = minute.number("dibs_claims_total", result="granted")
        commits = minute.number("dibs_claim_commits_total")
        return cls(
            per_second=a_second(granted),
            runs_per_second=a_second(minute.number("dibs_claimed_runs_total")),
            empty_per_second=a_second(minute.number("dibs_claims_total", result="empty")),
            replayed=int(minute.number("dibs_claims_total", result="replayed")),
            p99_seconds=minute.at_most(_GATHERED_SECONDS, 0.99, desk=Desk.CLAIMS),
            commits=commits / granted if granted else None,
        )


@dataclass(frozen=True, slots=True)
class Gathered:
    """The transactions of one desk, each of which serves what comes together."""

    desk: Desk
    transactions: int
    requests_each: float
    p50_seconds: float | None
    p99_seconds: float | None

    @classmethod
    def of(cls, desk: Desk, minute: Minute) -> Self:
        transactions = minute.number(f"{_GATHERED_SECONDS}_count", desk=desk)
        requests = minute.number("dibs_gathered_requests_sum", desk=desk)
        return cls(
            desk,
            int(transactions),
            requests / transactions if transactions else 0.0,
            minute.at_most(_GATHERED_SECONDS, 0.5, desk=desk),
            minute.at_most(_GATHERED_SECONDS, 0.99, desk=desk),
        )


@dataclass(frozen=True, slots=True)
class Connections:
    """One pool of all processes of this server."""

    pool: Pool
    in_use: int
    limit: int
    waiting: int

    @classmethod
    def of(cls, pool: Pool, minute: Minute) -> Self:
        return cls(
            pool,
            *(
                int(minute.standing(f"{_CONNECTIONS}_{what}", pool=pool))
                for what in ("in_use", "limit", "waiting")
            ),
        )


@pages.get("/contention")
@page(WATCHERS)
def show_contention() -> Response:
    """What this server counts, what is counted in the viewer's queues, and how the database is."""
    parts, ours = services(), caller().queues
    points = transact(
        parts.database.work,
        lambda connection: series(
            connection, span_seconds=MINUTE, points=MINUTES_SHOWN + 1, queue_patterns=ours
        ),
    )
    minute = parts.last_minute.now()
    return screen(
        "contention.html",
        claims=Claims.of(minute),
        gathered=[Gathered.of(desk, minute) for desk in Desk],
        problems=minute.by("code", "dibs_problems_total"),
        connections=[Connections.of(pool, minute) for pool in Pool],
        workers=int(minute.standing("dibs_workers")),
        parked=int(minute.standing("dibs_parked_claims")),
        parked_limit=int(minute.standing("dibs_parked_claims_limit")),
        waiting=int(minute.standing("dibs_waiting_claims")),
        seconds=int(minute.seconds),
        trends=trends_of(points),
        vitals=parts.vitals.now(),
        old_snapshots=parts.readiness.old_snapshots(),
        leases_expired=sum(
            queue.leases_expired.number for queue in parts.census.now().covered(ours)
        ),
        sparkline=sparkline,
        line_height=HEIGHT,
        line_width=STEP * (MINUTES_SHOWN - 1),
    )


def trends_of(points: Sequence[Point]) -> list[Trend]:
    """Each kind of what happens, minute by minute; the minute that is not over is left out."""
    over = points[:-1]
    return [Trend(name, [point.numbers[kind] for point in over]) for kind, name in _SHOWN.items()]
