"""What idle executors cost one orchestrator process: statements, memory, threads.

The process has a database of its own, so that every statement of its login is
its own. `pg_stat_statements` counts them; BEGIN, COMMIT and ROLLBACK are counted
apart. What the process sends without any executor is counted first.
"""

import statistics
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass

import psycopg

from orchestrator.dev.ports import LOOPBACK, free_ports
from orchestrator.lifecycle import Role
from orchestrator.minting import mint
from orchestrator.store.engine import open_engine
from tests.bench import children
from tests.bench.claims import claim_request
from tests.bench.memory import Footprint, footprint
from tests.bench.parked import ParkedClaims
from tests.bench.processor_time import workers_of
from tests.bench.sizes import Sizes
from tests.bench.stage import Stage, served_database

DATABASE = "idle"
QUEUE = "nobody-creates-here"
# Renewals keep a quarter of the threads for themselves.
SPARE_THREADS = 4 / 3
# After its start a process reads what it needs once.
SETTLING_SECONDS = 2.0
# The keeper ticks every 250 ms and a little, with four queries: more than the target is
# lost in how little that little is.
DRIFT = 1.05
_CONTROL = ("BEGIN", "COMMIT", "ROLLBACK")


@dataclass(frozen=True)
class Idleness:
    """
    What one process did while so many executors waited.

    Attributes:
        queries_per_second: Statements, one figure for each window.
        control_per_second: BEGIN, COMMIT and ROLLBACK on top of them.
        refused: Claims that were answered with 429 or 503, from the first on.
        sent: How often each statement of them was sent per second.
    """

    executors: int
    tokens: int
    queries_per_second: list[float]
    control_per_second: list[float]
    refused: int
    sent: Mapping[str, float]
    footprint: Footprint | None

    def caused(self, alone: "Idleness") -> float:
        """
        Queries per second that the process does not send without executors.

        All of a statement that it never sends then; and of those that it does, what
        goes beyond the drift of its clockwork.
        """
        known = sum(self.sent.get(text, 0) for text in alone.sent)
        without = sum(alone.sent.values())
        return sum(self.sent.values()) - known + max(0.0, known - without * DRIFT)

    def more_than(self, alone: "Idleness") -> list[tuple[str, float]]:
        """Which statement is sent more often per second than without executors, the most first."""
        more = [(text, rate - alone.sent.get(text, 0)) for text, rate in self.sent.items()]
        return sorted(more, key=lambda found: found[1], reverse=True)

    @property
    def median(self) -> float:
        return statistics.median(self.queries_per_second)


def idleness(stage: Stage, sizes: Sizes) -> list[Idleness]:
    """
    Count without executors, then with all of them under one token, then with one token each.

    Raises:
        BenchError: The claims could not be parked.
    """
    count = sizes.idle_executors
    owner_url, service_url = served_database(stage.postgres, DATABASE)
    tokens = _tokens(owner_url, count)
    (port,) = free_ports(1)
    threads = max(64, round(count * SPARE_THREADS) + 1)
    with closing(psycopg.connect(owner_url, autocommit=True)) as owner:
        owner.execute("CREATE EXTENSION pg_stat_statements")
        owner.execute(f"ALTER DATABASE {DATABASE} SET pg_stat_statements.track = 'top'")
        server = children.orchestrator(
            stage.data,
            DATABASE,
            service_url=service_url,
            port=port,
            workers=1,
            DIBS_THREADS=str(threads),
            DIBS_PARKED_CLAIMS=str(count),
        )
        found = []
        for many in (0, 1, count):
            # Started afresh: a claim whose executor has hung up stays parked for its time.
            with (
                children.running(server) as (pid,),
                _all_parked(port, tokens[:many], sizes) as parked,
            ):
                (worker,) = workers_of(pid)
                found.append(_count(owner, worker, parked, many, sizes))
        return found


@contextmanager
def _all_parked(port: int, tokens: list[str], sizes: Sizes) -> Iterator[ParkedClaims]:
    """One executor for each token, or all of them under the only one; none without a token."""
    wait_seconds = sizes.idle_wait_seconds
    claims = [
        claim_request(token, queue=QUEUE, limit=8, wait_seconds=wait_seconds)
        for token in tokens * (sizes.idle_executors // max(1, len(tokens)))
    ]
    with closing(ParkedClaims(LOOPBACK, port, claims, wait_seconds)) as parked:
        parked.keep(wait_seconds if claims else SETTLING_SECONDS)
        yield parked


def _count(
    owner: psycopg.Connection, process: int, parked: ParkedClaims, tokens: int, sizes: Sizes
) -> Idleness:
    """Count what is sent in each window, while the claims are kept parked."""
    in_windows: list[Counter[str]] = []
    for _ in range(sizes.idle_windows):
        before = _calls(owner)
        parked.keep(sizes.idle_window_seconds)
        in_windows.append(_calls(owner) - before)
    seconds = sizes.idle_window_seconds
    control = [sum(calls[word] for word in _CONTROL) / seconds for calls in in_windows]
    everything = [sum(calls.values()) / seconds for calls in in_windows]
    over_all = sum(in_windows, Counter[str]())
    return Idleness(
        executors=parked.executors,
        tokens=tokens,
        queries_per_second=[all_ - less for all_, less in zip(everything, control, strict=True)],
        control_per_second=control,
        refused=parked.refused,
        sent={
            text: calls / seconds / sizes.idle_windows
            for text, calls in over_all.items()
            if text not in _CONTROL
        },
        footprint=footprint(process),
    )


def _calls(owner: psycopg.Connection) -> Counter[str]:
    """How often the service's login has sent each statement."""
    rows = owner.execute(
        """
SELECT query, sum(calls)::bigint
  FROM pg_stat_statements s JOIN pg_database d ON d.oid = s.dbid
  JOIN pg_roles r ON r.oid = s.userid
 WHERE d.datname = current_database() AND r.rolname <> current_user
 GROUP BY query
"""
    ).fetchall()
    return Counter({" ".join(text.split()): calls for text, calls in rows})


def _tokens(owner_url: str, count: int) -> list[str]:
    engine = open_engine(owner_url, connections=1, name="bench-tokens")
    try:
        with engine.begin() as connection:
            return [
                mint(connection, name=f"idle-{number}", role=Role.EXECUTOR)
                for number in range(count)
            ]
    finally:
        engine.dispose()
