"""One run beside the peers: the same drain by each, and by pgbench, again and again."""

import statistics
from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import dataclass
from datetime import UTC, datetime

import psycopg

from orchestrator.dev.provision import create_database
from tests.bench.figures import OURS, PRODUCT, Figures
from tests.bench.machine import commit, machine
from tests.bench.peers.peer import Peer, Setting
from tests.bench.sample import Sample, median_cpu_ms
from tests.bench.sizes import Sizes
from tests.bench.stage import stage
from tests.bench.targets import GRAPHILE_WORKER, PGQUEUER, Target

DIBS, PGBENCH = "Dibs", "pgbench, ours"
TARGETS = {"PgQueuer": PGQUEUER, "graphile-worker": GRAPHILE_WORKER}
ORCHESTRATOR_PROCESSES = 1


@dataclass(frozen=True)
class Entry:
    """One of those who drained; `said` tells versions and options."""

    name: str
    said: str
    samples: list[Sample]
    target: Target | None = None

    @property
    def median(self) -> float:
        return statistics.median(sample.runs_per_second for sample in self.samples)

    def cpu_ms(self) -> dict[str, float]:
        """Milliseconds of one core for each run, by program; the median of each."""
        return median_cpu_ms(self.samples)


@dataclass(frozen=True)
class Standings:
    """
    What one run found; Dibs comes first.

    Attributes:
        tried: What each setting of each peer gave once.
    """

    taken_at: datetime
    commit: str | None
    machine: dict[str, str | int | None]
    runs: int
    entries: list[Entry]
    tried: dict[str, dict[str, float]]

    def ratio(self, entry: Entry) -> float:
        """Dibs against it: the median of the repeats' ratios."""
        return statistics.median(
            dibs.runs_per_second / theirs.runs_per_second
            for dibs, theirs in zip(self.entries[0].samples, entry.samples, strict=True)
        )


def contest(
    sizes: Sizes, peers: Sequence[Peer], *, repeats: int, say: Callable[[str], None]
) -> Standings:
    """
    Try the peers' settings once each, then take every sample with the fastest.

    Raises:
        BenchError: A sample is worth nothing.
    """
    taken_at = datetime.now(UTC)
    runs = sizes.drained_runs
    with stage(ORCHESTRATOR_PROCESSES, say) as on:
        drain = next(figure for figure in Figures(on, sizes).all() if figure.key == "drain")
        url = create_database(on.postgres.owner_url, "peers")
        with closing(psycopg.connect(url, autocommit=True)) as owner:

            def sample(peer: Peer, setting: Setting) -> Sample:
                return peer.drain(owner, url, runs, setting, on.programs)

            best: dict[str, Setting] = {}
            tried: dict[str, dict[str, float]] = {}
            for peer in peers:
                rates = {it: sample(peer, it).runs_per_second for it in peer.settings}
                best[peer.name] = max(rates, key=lambda it: rates[it])
                tried[peer.name] = {it.text: rate for it, rate in rates.items()}
                for text, rate in tried[peer.name].items():
                    say(f"{peer.name}, {text}: {rate:,.0f} jobs/s")
            entries = [
                Entry(DIBS, "over HTTP, with its ledger", []),
                *(
                    Entry(
                        peer.name,
                        f"{peer.versions}; {best[peer.name].text}; {peer.options}",
                        [],
                        TARGETS[peer.name],
                    )
                    for peer in peers
                ),
                Entry(PGBENCH, "Dibs' own statements in batches of 50, 4 connections", []),
            ]
            takers: list[Callable[[], Sample]] = [
                drain.sides[PRODUCT],
                *((lambda it=peer: sample(it, best[it.name])) for peer in peers),
                drain.sides[OURS],
            ]
            for repeat in range(repeats):
                say(f"repeat {repeat + 1} of {repeats}")
                for place in range(len(takers)):
                    turn = (place + repeat) % len(takers)
                    taken = takers[turn]()
                    entries[turn].samples.append(taken)
                    say(f"  {entries[turn].name:16} {taken.runs_per_second:12,.0f} runs/s")
        return Standings(taken_at, commit(), machine(on.owner), runs, entries, tried)
