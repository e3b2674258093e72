"""
Report on a day: a schedule runs it every night, and it comes back when figures are late.

    collect ─▶ write ─▶ send

    dibs runs create nightly-report --input '{"day": "2027-01-31"}'
    dibs schedules run-now nightly-report
"""

import asyncio
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import Any

from executor import App, Later, StepContext

app = App()

FIGURES_TAKE = timedelta(seconds=2)


@dataclass(frozen=True)
class Wanted:
    """Which day to report on; the one before the run was created unless told otherwise."""

    day: date | None = None


@app.step("collect-figures")
async def collect(context: StepContext, wanted: Wanted) -> dict[str, Any]:
    """Ask for a day's figures, and come back for them when they are not there yet."""
    created_at = context.run.created_at or datetime.now(UTC)
    day = wanted.day or created_at.date() - timedelta(days=1)
    figures = await _figures(day, asked_before=context.run.attempt > 1)
    if figures is None:
        raise Later(datetime.now(UTC) + FIGURES_TAKE)
    return {"day": day, **figures}


@app.step("write-report")
def write(context: StepContext) -> dict[str, str]:
    """Put the figures into words."""
    figures = context.outputs["collect"]
    return {
        "title": f"Orders of {figures['day']}",
        "text": f"{figures['orders']} orders, {figures['revenue'] / 100:.2f} in all.",
    }


@app.step("send-report")
def send(context: StepContext) -> dict[str, Any]:
    """Send it to whom the definition names."""
    return {"to": (context.step.params or {})["to"], **context.outputs["write"]}


async def _figures(day: date, *, asked_before: bool) -> dict[str, int] | None:
    """Stand in for a service that begins to count when it is first asked."""
    await asyncio.sleep(0.05)
    return {"orders": 40 + day.day, "revenue": 120_000 + 100 * day.day} if asked_before else None
