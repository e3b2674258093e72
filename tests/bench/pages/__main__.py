"""The command `python -m tests.bench.pages`."""

import statistics
from datetime import UTC, datetime

import click
from rich import box
from rich.console import Console
from rich.table import Table

from orchestrator.lifecycle import Role
from tests.bench import backlog
from tests.bench.claims import claim_all_the_time
from tests.bench.command import measuring
from tests.bench.machine import commit, machine
from tests.bench.pages.viewer import Viewer, looked_at
from tests.bench.stage import Stage, stage
from tests.bench.targets import Target

PENDING = 300_000
VIEWERS = 10
CLIENTS = 16
LOADS = 20
SECONDS = 8.0
PAGE_MS = Target(300, at_least=False, unit=" ms")
KEPT_SHARE = Target(0.95, at_least=True)


@click.command()
@click.option("--pending", type=click.IntRange(1_000), default=PENDING, show_default=True)
@click.option("--repeats", type=click.IntRange(1), default=5, show_default=True)
def main(pending: int, repeats: int) -> None:
    """Measure how long pages take on a backlog, and what ten viewers cost the claims."""
    messages = Console(stderr=True, highlight=False, markup=False)
    shown = Console(highlight=False, markup=False)
    with measuring(messages), stage(1, messages.print) as on:
        backlog.fill(on.owner, pending)
        paths = _paths(on)
        viewers = [Viewer(on.port, on.tokens[Role.VIEWER]) for _ in range(VIEWERS)]
        pages = Table("page", "first", "p50", "longest", "target", "", box=box.SIMPLE_HEAD)
        for path in paths:
            messages.print(f"loading {path}")
            took = [viewers[0].load(path)[0] * 1000 for _ in range(LOADS)]
            pages.add_row(
                path.partition("/ui")[2].partition("/01")[0] or "/",
                f"{took[0]:.0f} ms",
                f"{statistics.median(took):.0f} ms",
                f"{max(took):.0f} ms",
                str(PAGE_MS),
                "ok" if PAGE_MS.is_met(max(took)) else "missed",
            )
        ratios = []
        for repeat in range(repeats):
            rates = {}
            for watched in (False, True) if repeat % 2 else (True, False):
                rates[watched] = _claims(on, pending, viewers if watched else [])
                with_them = "with" if watched else "without"
                messages.print(f"{with_them:8} {rates[watched]:9,.0f} claims/s")
            ratios.append(rates[True] / rates[False])
        for viewer in viewers:
            viewer.close()
        here = machine(on.owner)
    kept = statistics.median(ratios)
    shown.print(pages)
    shown.print(
        f"claims with {VIEWERS} viewers : without: {kept:.3f}"
        f" ({min(ratios):.3f} to {max(ratios):.3f}, {repeats} pairs), target {KEPT_SHARE}:"
        f" {'ok' if KEPT_SHARE.is_met(kept) else 'missed'}"
    )
    shown.print(
        f"{datetime.now(UTC):%Y-%m-%d %H:%M} UTC, commit {commit() or 'unknown'},"
        f" {pending:,} pending; {here['cpu']}, {here['cores']} cores,"
        f" PostgreSQL {here['postgres']}, Python {here['python']}"
    )


def _paths(on: Stage) -> list[str]:
    run = on.owner.execute('SELECT id FROM "workflowRuns" ORDER BY id LIMIT 1').fetchone()
    assert run is not None
    pages = ("", "/runs", "/runs?state=pending", "/runs?state=failed", f"/runs/{run[0]}")
    rest = ("/executors", "/queues", "/workflows", "/schedules", "/contention", "/audit", "/access")
    return [f"/ui{page}" for page in pages + rest]


def _claims(on: Stage, pending: int, viewers: list[Viewer]) -> float:
    backlog.fill(on.owner, pending)
    if not viewers:
        return claim_all_the_time(on, clients=CLIENTS, limit=1, seconds=SECONDS).runs_per_second
    with looked_at(viewers, _paths(on)):
        return claim_all_the_time(on, clients=CLIENTS, limit=1, seconds=SECONDS).runs_per_second


if __name__ == "__main__":
    main()
