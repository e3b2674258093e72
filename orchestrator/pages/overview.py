"""The first page: how much runs and waits, how it went lately, and what needs attention."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from flask import Response, request

from orchestrator.api.access import WATCHERS, caller
from orchestrator.api.context import services
from orchestrator.api.refusals import MalformedRequest
from orchestrator.desk.overview import LATE_SECONDS, overview
from orchestrator.pages.blueprint import page, pages
from orchestrator.pages.chart import HEIGHT, WIDTH, Chart, Line
from orchestrator.pages.sparkline import HEIGHT as LINE_HEIGHT
from orchestrator.pages.sparkline import STEP, sparkline
from orchestrator.pages.template import screen
from orchestrator.store.activity import HOUR, MINUTE, Counted, Point


@dataclass(frozen=True, slots=True)
class Span:
    """
    How far back the charts go.

    Attributes:
        each: What one point stands for, in words.
    """

    key: str
    name: str
    each: str
    seconds: int
    points: int


SPANS: Final = (
    Span("hour", "1 h", "minute", MINUTE, 60),
    Span("day", "24 h", "hour", HOUR, 24),
    Span("week", "7 d", "hour", HOUR, 7 * 24),
)


@pages.get("")
@page(WATCHERS)
def show_overview() -> Response:
    """How the viewer's queues are."""
    asked = request.args.get("span", SPANS[0].key)
    span = next((each for each in SPANS if each.key == asked), None)
    if span is None:
        raise MalformedRequest(f"A span is one of {', '.join(each.key for each in SPANS)}.")
    parts = services()
    seen = overview(
        parts.database,
        parts.census.now(),
        caller().queues,
        span_seconds=span.seconds,
        points=span.points,
    )
    hour, charts = seen.figures.hour, _charts(seen.charted)
    return screen(
        "overview.html",
        figures=seen.figures,
        attention=seen.attention,
        old_snapshots=parts.readiness.old_snapshots(),
        late_seconds=LATE_SECONDS,
        charts=charts,
        rows=_rows(charts),
        chart_width=WIDTH,
        chart_height=HEIGHT,
        span=span,
        spans=SPANS,
        trends={
            "pending": [point.most_pending for point in hour],
            "running": [point.numbers[Counted.CLAIMED] for point in hour],
            "finished": [point.numbers[Counted.FINISHED] for point in hour],
            "failed": [point.numbers[Counted.FAILED] for point in hour],
            "oldest": [point.oldest_pending_seconds for point in hour],
        },
        sparkline=sparkline,
        line_height=LINE_HEIGHT,
        line_width=STEP * (len(hour) - 1),
    )


def _rows(charts: Sequence[Chart]) -> list[tuple[datetime, tuple[str, ...]]]:
    """The numbers of all charts beside each other, the newest first."""
    columns = [line.numbers for chart in charts for line in chart.lines]
    rows = zip(charts[0].moments, zip(*columns, strict=True), strict=True)
    return [(at, tuple(f"{number:,}" for number in numbers)) for at, numbers in rows][::-1]


def _charts(points: Sequence[Point]) -> list[Chart]:
    moments: list[datetime] = [point.began_at for point in points]
    counted = (Counted.CREATED, Counted.FINISHED, Counted.FAILED)
    throughput = [
        Line(kind.capitalize(), kind, [point.numbers[kind] for point in points]) for kind in counted
    ]
    depth = [Line("Pending, at most", "pending", [point.most_pending for point in points])]
    return [Chart("Throughput", moments, throughput), Chart("Depth", moments, depth)]
