"""
Write a report: safe to repeat, and with a service behind it that is busy at times.

    curl … -d '{"workflow": "nightly-report", "input": {"day": "2027-01-31"}}'
"""

import random
from datetime import UTC, datetime, timedelta
from typing import Any

from executor import App, Later, StepContext

app = App()


@app.step("nightly-report", timeout=60)
async def nightly_report(context: StepContext) -> dict[str, Any]:
    """Sum up a day; come back in two seconds when the figures are not ready."""
    day = (context.input or {}).get("day", "today")
    if _figures_are_late():
        raise Later(datetime.now(UTC) + timedelta(seconds=2))
    return {"day": day, "orders": 42, "revenue": 123_400}


def _figures_are_late() -> bool:
    """Stand in for a service that answers 'not yet' now and then."""
    return random.random() < 0.2  # noqa: S311
