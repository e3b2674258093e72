"""What is looked at while a site soaks: memory, tables, and how long answers take."""

from __future__ import annotations

from contextlib import closing
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import orjson
import psycopg

from tests.bench.memory import footprint
from tests.chaos.site import Site
from tests.chaos.strikes import workers_of

TABLES = ("workflowRuns", "runEvents", "workflowSteps", "claimRequests", "incidents")
REPORTS, CREATES = "POST /v1/reports", "POST /v1/runs/batch"
MEGABYTE = 1024 * 1024


@dataclass(frozen=True)
class Sample:
    """
    One look.

    Attributes:
        server_mb: The largest process that serves requests.
        executor_mb: The largest executor.
        table_mb: What a table takes with its indexes, by name.
        p99_ms: Of all answers since the look before, by method and path.
    """

    seconds: float
    runs: int
    server_mb: float
    executor_mb: float
    table_mb: dict[str, float]
    p99_ms: dict[str, float]

    def figures(self) -> dict[str, str]:
        """As the table at the end has them."""
        return {
            "minutes": f"{self.seconds / 60:.1f}",
            "runs": f"{self.runs:,}",
            "largest server process, MB": f"{self.server_mb:.0f}",
            "largest executor, MB": f"{self.executor_mb:.0f}",
            **{f"{name}, MB": f"{size:.1f}" for name, size in self.table_mb.items()},
            "all tables, KB for each run": (
                f"{1024 * sum(self.table_mb.values()) / max(1, self.runs):.2f}"
            ),
            **{f"{op}, p99 ms": f"{ms:.0f}" for op, ms in self.p99_ms.items()},
        }

    def __str__(self) -> str:
        p99 = ", ".join(f"{op} {ms:.0f} ms" for op, ms in self.p99_ms.items())
        return (
            f"{self.seconds / 60:6.1f} min  {self.runs:,} runs, server {self.server_mb:.0f} MB,"
            f" executor {self.executor_mb:.0f} MB, tables {sum(self.table_mb.values()):.0f} MB,"
            f" p99: {p99}"
        )


class Sampler:
    """Looks at a site now and then."""

    def __init__(self, site: Site) -> None:
        self._site = site
        self._read: dict[Path, int] = {}

    def take(self, seconds: float) -> Sample:
        """How things are, `seconds` after the beginning."""
        site = self._site
        servers = [pid for node in site.nodes for pid in workers_of(node.orchestrator)]
        executors = [each.process.pid for each in site.executors]
        took = self._answered()
        return Sample(
            seconds,
            len(site.lengths),
            _largest(servers),
            _largest(executors),
            self._tables(),
            {op: _p99(took[op]) for op in (CREATES, REPORTS)},
        )

    def _answered(self) -> dict[str, list[float]]:
        """How many milliseconds each answer took that was given since the last look."""
        took: dict[str, list[float]] = {CREATES: [], REPORTS: []}
        for log in self._site.logs:
            with log.open("rb") as lines:
                lines.seek(self._read.get(log, 0))
                for line in lines:
                    if not line.endswith(b"\n"):
                        break
                    self._read[log] = self._read.get(log, 0) + len(line)
                    said = orjson.loads(line)
                    if said["op"] in took and said["result"] == "ok":
                        sent, returned = map(
                            datetime.fromisoformat, (said["sent"], said["returned"])
                        )
                        took[said["op"]].append(1000 * (returned - sent).total_seconds())
        return took

    def _tables(self) -> dict[str, float]:
        self._site.wait(self._site.is_open, what="Postgres accepts connections")
        with closing(psycopg.connect(self._site.database.owner_url)) as owner:
            rows = owner.execute(
                """
                SELECT relname, pg_total_relation_size(oid) FROM pg_class
                 WHERE relname = ANY (%s) AND relkind = 'r'
                """,
                [list(TABLES)],
            )
            return {name: size / MEGABYTE for name, size in rows}


def _largest(pids: list[int]) -> float:
    found = [footprint(pid) for pid in pids]
    return max((one.memory_mb for one in found if one), default=0.0)


def _p99(milliseconds: list[float]) -> float:
    ordered = sorted(milliseconds)
    return ordered[int(0.99 * (len(ordered) - 1))] if ordered else 0.0
