"""What people read of the results: three tables, and a line for what they do not hold."""

import statistics

from tests.bench.figures import BARE, GENERATOR, OURS, PGBENCH, PRODUCT
from tests.bench.page import Row, Table, yes
from tests.bench.reasons import unmet
from tests.bench.results import Rate, Results
from tests.bench.stage import EXECUTORS, ORCHESTRATOR, POSTGRES

SECTION = "bench"
PRODUCT_PROGRAMS = (POSTGRES, ORCHESTRATOR, EXECUTORS, GENERATOR)
NOTHING = "–"


def tables(results: Results) -> list[Table]:
    """The figures, whether they are what they should be, and where the time goes."""
    found = [
        Table(
            (
                "runs/s",
                "Dibs, HTTP",
                "pgbench, ours",
                "ratio",
                "target",
                "met",
                "pgbench, bare",
                "ratio",
            ),
            [_rate(rate) for rate in results.rates],
        ),
        Table(
            ("idle", "measured", "target", "met"),
            [
                (one.name, f"{one.value:.1f}{one.target.unit}", str(one.target), yes(one.is_met))
                for one in results.reached()
            ],
        ),
        Table(
            (
                "ms of a core for each run",
                "Dibs",
                *PRODUCT_PROGRAMS,
                "pgbench, ours",
                "its postgres",
            ),
            [_spent(rate) for rate in results.rates if rate.cpu_ms(PRODUCT)],
        ),
    ]
    return [table for table in found if table.rows]


def notes(results: Results) -> list[str]:
    """First what is not met, and why."""
    ceiling = results.ceiling
    return [
        *(f"Not met: {line}" for line in unmet(results)),
        *(f"{one.name}: {one.beside}" for one in results.reached() if one.is_met),
        *_held(results),
        f"Load generator: {ceiling.requests_per_second:,.0f} GET /healthz per second with"
        f" {ceiling.busy:.0%} of a core; at most {results.generator_busy:.0%} while it claims"
        " and reports",
    ]


def markdown(results: Results) -> str:
    """Everything, and what it was taken on."""
    machine, settings = results.machine, results.settings
    taken_on = [
        f"{results.taken_at:%Y-%m-%d %H:%M} UTC, commit {results.commit or 'unknown'},"
        f" {settings['repeats']} repeats{', quick' if settings['quick'] else ''}",
        f"{machine['cpu']}, {machine['cores']} cores, {machine['memory']} of memory,"
        f" {machine['kernel']}",
        f"PostgreSQL {machine['postgres']}, Python {machine['python']},"
        f" orchestrator processes: {settings['orchestratorProcesses']},"
        f" {settings['executorProcesses']} executors of {settings['executorSlots']} slots",
    ]
    bullets = "\n".join(f"- {note}" for note in [*notes(results), *taken_on])
    return "\n\n".join([*(table.markdown() for table in tables(results)), bullets])


def _rate(rate: Rate) -> Row:
    ratio, target = rate.ratio(OURS), rate.figure.target
    return (
        rate.figure.name,
        f"{rate.median(PRODUCT):,.0f}",
        f"{rate.median(OURS):,.0f}",
        f"{ratio:.2f}",
        str(target),
        yes(target.is_met(ratio)),
        f"{rate.median(BARE):,.0f}",
        f"{rate.ratio(BARE):.2f}",
    )


def _spent(rate: Rate) -> Row:
    product, ours = rate.cpu_ms(PRODUCT), rate.cpu_ms(OURS)
    return (
        rate.figure.name,
        f"{sum(product.values()):.3f}",
        *(f"{product[name]:.3f}" if name in product else NOTHING for name in PRODUCT_PROGRAMS),
        f"{ours[POSTGRES] + ours[PGBENCH]:.3f}",
        f"{ours[POSTGRES]:.3f}",
    )


def _held(results: Results) -> list[str]:
    """What parked claims cost in memory and threads."""
    return [
        f"A process with {one.executors or 'no'} claims parked"
        f"{f', {one.tokens} tokens' if one.tokens > 1 else ''}: "
        f"{one.footprint.memory_mb:.0f} MB, {one.footprint.threads} threads;"
        f" {statistics.median(one.control_per_second):.1f} BEGIN, COMMIT and ROLLBACK/s on top"
        " of its queries"
        for one in results.idle
        if one.footprint
    ]
