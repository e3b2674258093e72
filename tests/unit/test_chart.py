"""What a chart's lines look like."""

from datetime import UTC, datetime

import pytest

from orchestrator.pages.chart import HEIGHT, WIDTH, Chart, Line, round_above

THEN = datetime(2026, 1, 1, tzinfo=UTC)


def chart_of(*numbers: list[int]) -> Chart:
    lines = [Line(f"line {at}", "created", row) for at, row in enumerate(numbers)]
    return Chart("Throughput", [THEN] * len(numbers[0]), lines)


@pytest.mark.parametrize(
    ("number", "top"),
    [
        (0, 1),
        (1, 1),
        (2, 2),
        (3, 5),
        (5, 5),
        (6, 10),
        (10, 10),
        (11, 20),
        (999, 1000),
        (1001, 2000),
    ],
)
def test_the_upper_edge_is_the_next_round_number(number: int, top: int) -> None:
    assert round_above(number) == top


def test_a_line_goes_from_edge_to_edge_and_its_largest_number_may_be_at_the_top() -> None:
    chart = chart_of([0, 5, 10])
    [line] = chart.lines

    assert chart.points(line) == f"0,{HEIGHT} {WIDTH // 2},{HEIGHT // 2} {WIDTH},0"
    assert chart.area(line) == f"0,{HEIGHT} {chart.points(line)} {WIDTH},{HEIGHT}"


def test_all_lines_have_one_scale() -> None:
    chart = chart_of([0, 50], [0, 100])

    assert [chart.points(line) for line in chart.lines] == [
        f"0,{HEIGHT} {WIDTH},{HEIGHT // 2}",
        f"0,{HEIGHT} {WIDTH},0",
    ]


def test_where_nothing_happened_the_line_lies_at_the_bottom() -> None:
    chart = chart_of([0, 0])

    assert chart.points(chart.lines[0]) == f"0,{HEIGHT} {WIDTH},{HEIGHT}"
