"""What the searches found, as lines for a terminal and as a table for docs/model.md."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from tests.model.cases import Case
from tests.model.spin import Search, SpinError
from tests.model.verdict import verdict

_LINE = "{:9}{:33}{:>10}{:>9}{:>8}{:>6}  {}"


@dataclass(frozen=True)
class Row:
    """One case, and what became of it."""

    case: Case
    found: Search | SpinError

    @property
    def is_well(self) -> bool:
        return not isinstance(self.found, SpinError) and verdict(self.case, self.found)[0]

    @property
    def words(self) -> str:
        if isinstance(self.found, SpinError):
            return f"FAILED: {self.found}"
        is_well, words = verdict(self.case, self.found)
        return words if is_well else f"FAILED: {words}"

    @property
    def story(self) -> tuple[str, ...]:
        return () if isinstance(self.found, SpinError) else self.found.story


def heading() -> str:
    return _LINE.format("", "", "states", "depth", "s", "MB", "")


def line(row: Row) -> str:
    return _LINE.format(row.case.kind, row.case.name, *_figures(row), row.words).rstrip()


def markdown(rows: Sequence[Row], *, version: str, seconds: float) -> str:
    """The table, with what it was made on."""
    today = datetime.now(UTC).date().isoformat()
    lines = [
        f"{today}, {version}, {os.cpu_count()} cores, {seconds:.0f} s for all of it.",
        "",
        "| | | states | depth | s | MB | found |",
        "| --- | --- | ---: | ---: | ---: | ---: | --- |",
    ]
    for row in rows:
        states, *others = _figures(row)
        figures = " | ".join([f"{int(states):,}" if states else "", *others])
        words = f"{row.case.says} | {figures} | {row.words}"
        lines.append(f"| {row.case.kind} `{row.case.name}` | {words} |")
    return "\n".join(lines)


def _figures(row: Row) -> tuple[str, str, str, str]:
    if isinstance(row.found, SpinError):
        return ("", "", "", "")
    found = row.found
    return (str(found.states), str(found.depth), f"{found.seconds:.1f}", f"{found.megabytes:.0f}")
