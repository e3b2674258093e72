"""The tables: on the terminal, and in `docs/performance.md`."""

from pathlib import Path

from rich import box
from rich.table import Table

from tests.bench.figures import BARE, OURS, PRODUCT
from tests.bench.results import Results

PAGE = Path(__file__).parent.parent.parent / "docs" / "performance.md"
BEGINS, ENDS = "<!-- bench begins -->", "<!-- bench ends -->"

HEADINGS = ("runs/s", "Dibs, HTTP", "pgbench, ours", "ratio", "pgbench, bare", "ratio")


def table(results: Results) -> Table:
    """The ratios, for people who wait for them."""
    shown = Table(box=box.SIMPLE_HEAD, padding=(0, 1))
    for number, heading in enumerate(HEADINGS):
        if number == 0:
            shown.add_column(heading, no_wrap=True)
        else:
            shown.add_column(heading.replace(", ", "\n"), justify="right")
    for row in _rows(results):
        shown.add_row(*row)
    return shown


def notes(results: Results) -> list[str]:
    """What the table does not hold, a line each."""
    ceiling = results.ceiling
    return [
        f"From create to handler start, idle, {len(results.starts_ms)} creates:"
        f" p50 {results.start_ms(50):.1f} ms, p99 {results.start_ms(99):.1f} ms",
        f"Load generator: {ceiling.requests_per_second:,.0f} GET /healthz per second with"
        f" {ceiling.busy:.0%} of a core; at most {results.generator_busy:.0%} while claiming",
    ]


def write_page(results: Results) -> None:
    """Put the results between the page's marks; what stands around them stays."""
    before, _, rest = PAGE.read_text(encoding="utf-8").partition(BEGINS)
    _, _, after = rest.partition(ENDS)
    PAGE.write_text(f"{before}{BEGINS}\n{_markdown(results)}\n{ENDS}{after}", encoding="utf-8")


def _markdown(results: Results) -> str:
    lines = [HEADINGS, ("---", *("---:" for _ in HEADINGS[1:])), *_rows(results)]
    machine, settings = results.machine, results.settings
    return "\n".join(
        [
            *("| " + " | ".join(line) + " |" for line in lines),
            "",
            *(f"- {note}" for note in notes(results)),
            f"- {results.taken_at:%Y-%m-%d %H:%M} UTC, commit {results.commit or 'unknown'},"
            f" {settings['repeats']} repeats{', quick' if settings['quick'] else ''}",
            f"- {machine['cpu']}, {machine['cores']} cores, {machine['memory']} of memory,"
            f" {machine['kernel']}",
            f"- PostgreSQL {machine['postgres']}, Python {machine['python']},"
            f" {settings['orchestratorProcesses']} orchestrator processes,"
            f" {settings['executorProcesses']} executors of {settings['executorSlots']} slots",
        ]
    )


def _rows(results: Results) -> list[tuple[str, ...]]:
    return [
        (
            rate.name,
            f"{rate.median(PRODUCT):,.0f}",
            f"{rate.median(OURS):,.0f}",
            f"{rate.ratio(OURS):.2f}",
            f"{rate.median(BARE):,.0f}",
            f"{rate.ratio(BARE):.2f}",
        )
        for rate in results.rates
    ]
