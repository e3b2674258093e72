"""What `dibs top` shows: queues, executors and the newest trouble at one moment."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from rich.console import Group, RenderableType
from rich.text import Text

from orchestrator.cli.client import Api
from orchestrator.cli.executor_rows import EXECUTOR_COLUMNS, executor_row
from orchestrator.cli.output import printable, to_the_second
from orchestrator.cli.queue_rows import QUEUE_COLUMNS, queue_row
from orchestrator.cli.table import STATE_STYLES, Column, lay_out

NEWEST = 50
OUTCOME_UNKNOWN = "outcome-unknown"
# A title, the columns' headings and a blank line above the next one.
LINES_OF_A_SECTION = 3

_TROUBLE_COLUMNS = (
    Column("RUN", whole=True),
    Column("STATE", styles=STATE_STYLES),
    Column("WORKFLOW", spare=2),
    Column("QUEUE", spare=3),
    Column("WHAT", spare=1),
    Column("CREATED", whole=True, spare=4),
)


@dataclass(frozen=True)
class Section:
    """A table with a title; what matters most stands first."""

    title: str
    columns: tuple[Column, ...]
    rows: list[list[str]]


def fetch(api: Api) -> dict[str, Any]:
    """Queues, executors, and the newest runs that failed or whose outcome is unknown."""
    runs = api.request("GET", "/runs", params={"state": "failed,waiting", "limit": NEWEST})["items"]
    return {
        "queues": api.request("GET", "/queues")["items"],
        "executors": api.request("GET", "/executors")["items"],
        "trouble": [run for run in runs if run["runState"] == "failed" or _is_unknown(run)],
    }


def sections(found: dict[str, Any]) -> list[Section]:
    """What was fetched, as tables."""
    now = datetime.now(UTC)
    queues = sorted(found["queues"], key=lambda queue: -sum(queue["depth"].values()))
    executors = sorted(found["executors"], key=lambda executor: executor["state"] == "active")
    return [
        _section("queues", QUEUE_COLUMNS, map(queue_row, queues)),
        _section("executors", EXECUTOR_COLUMNS, (executor_row(each, now) for each in executors)),
        _section("newest trouble", _TROUBLE_COLUMNS, map(_trouble_row, found["trouble"])),
    ]


def frame(shown: Sequence[Section], heading: Text, *, width: int, height: int) -> RenderableType:
    """One picture that fills the terminal; what there is no room for is counted."""
    room = max(0, height - 1 - LINES_OF_A_SECTION * len(shown))
    parts: list[RenderableType] = [heading]
    shares = _shares([len(section.rows) for section in shown], room)
    for section, lines in zip(shown, shares, strict=True):
        count = len(section.rows)
        left = f", {count - lines} of them not shown" if lines < count else ""
        parts += [
            Text(""),
            Text(f"{section.title}: {count}{left}", style="bold underline"),
            lay_out(section.columns, section.rows[:lines], width, folded=False).table,
        ]
    return Group(*parts)


def _section(title: str, columns: tuple[Column, ...], rows: Iterable[Sequence[Any]]) -> Section:
    return Section(title, columns, [[printable(cell) for cell in row] for row in rows])


def _trouble_row(run: dict[str, Any]) -> tuple[str | None, ...]:
    error = run["error"] or {}
    return (
        run["id"],
        "outcome unknown" if _is_unknown(run) else run["runState"],
        run["workflow"],
        run["queue"],
        error.get("code") or f"step {run['stepName']}",
        to_the_second(run["createdAt"]),
    )


def _is_unknown(run: dict[str, Any]) -> bool:
    return (run["waitingFor"] or {}).get("reason") == OUTCOME_UNKNOWN


def _shares(wanted: Sequence[int], room: int) -> list[int]:
    """An even share for each that wants it; what is left goes to the first that want more."""
    shares = [min(each, room // len(wanted)) for each in wanted]
    for place, each in enumerate(wanted):
        shares[place] += min(each - shares[place], room - sum(shares))
    return shares
