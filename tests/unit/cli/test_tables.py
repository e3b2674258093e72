"""A table fits the terminal: ids stay whole, and what matters least goes first."""

import io

import pytest
from rich.console import Console

from orchestrator.cli.executor_rows import EXECUTOR_COLUMNS
from orchestrator.cli.output import print_table
from orchestrator.cli.queue_rows import QUEUE_COLUMNS, age, queue_row
from orchestrator.cli.run_list import COLUMNS as RUN_COLUMNS
from orchestrator.cli.table import Column, Layout, lay_out

ID = "01980000-0000-7000-8000-000000000001"
TIME = "2026-11-23 05:48:13Z"
RUN = [ID, "refund", "billing", "pending", "1", "fleet:executor-1", TIME]


def drawn(layout: Layout, width: int) -> list[str]:
    """The lines of a table on a terminal of this width."""
    console = Console(file=io.StringIO(), width=width)
    with console.capture() as captured:
        console.print(layout.table)
    return captured.get().splitlines()


@pytest.mark.parametrize("width", [80, 120, 200])
@pytest.mark.parametrize("name", ["refund", "a-name-that-is-as-long-as-a-name-may-be-" + "x" * 23])
def test_runs_fit_and_their_ids_stay_whole(width: int, name: str) -> None:
    lines = drawn(lay_out(RUN_COLUMNS, [[ID, name, *RUN[2:]]], width), width)

    assert all(len(line) <= width for line in lines)
    assert lines[1].startswith(f"{ID}  {name[:10]}")
    assert "pending" in lines[1]
    assert name in "".join(line[38:].split("  ")[0].strip() for line in lines[1:])


@pytest.mark.parametrize(
    ("width", "left_out"),
    [
        (113, ()),
        (112, ("ATTEMPT",)),
        (103, ("ATTEMPT", "CREATED")),
        (81, ("ATTEMPT", "HELD BY", "CREATED")),
        (20, ("QUEUE", "ATTEMPT", "HELD BY", "CREATED")),
    ],
)
def test_what_matters_least_goes_first(width: int, left_out: tuple[str, ...]) -> None:
    assert lay_out(RUN_COLUMNS, [RUN], width).left_out == left_out


@pytest.mark.parametrize("columns", [RUN_COLUMNS, QUEUE_COLUMNS, EXECUTOR_COLUMNS])
def test_nothing_is_left_out_or_folded_where_there_is_no_terminal(
    columns: tuple[Column, ...],
) -> None:
    row = ["x" * 300] * len(columns)
    layout = lay_out(columns, [row], None)

    assert layout.left_out == ()
    assert len(drawn(layout, layout.width)) == 2


def test_wide_characters_count_as_wide() -> None:
    layout = lay_out((Column("A"), Column("B", spare=1)), [["漢字" * 4, "b"]], 18)

    assert layout.left_out == ("B",)


@pytest.mark.parametrize(
    ("columns", "left_out"), [("80", "ATTEMPT"), ("200", ""), ("", "")], ids=["80", "200", "unset"]
)
def test_columns_is_heeded_and_what_is_left_out_is_said(
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    columns: str,
    left_out: str,
) -> None:
    monkeypatch.setenv("COLUMNS", columns)
    print_table(RUN_COLUMNS, [RUN])

    printed = capsys.readouterr()
    assert "\x1b" not in printed.out
    assert ("no room for" in printed.err, left_out in printed.err) == (bool(left_out), True)
    assert ("ATTEMPT" in printed.out) == (not left_out)


@pytest.mark.parametrize(
    ("seconds", "expected"),
    [
        (None, ""),
        (0.4, "0 s"),
        (119.0, "119 s"),
        (120.0, "2 min"),
        (7_200, "2 h"),
        (200_000, "2 d"),
    ],
)
def test_an_age_is_said_in_one_unit(seconds: float | None, expected: str) -> None:
    assert age(seconds) == expected


def test_a_queue_says_its_limits_and_where_counting_stopped() -> None:
    row = queue_row(
        {
            "name": "billing",
            "paused": True,
            "maxConcurrency": 5,
            "ratePerSecond": None,
            "maxConcurrencyPerKey": 2,
            "depth": {
                "scheduled": 0,
                "pending": 10_000,
                "loading": 1,
                "started": 2,
                "waiting": 0,
            },
            "capped": ["pending"],
            "oldestPendingSeconds": 600.0,
            "executors": 0,
            "wantedExecutors": 3,
        }
    )

    assert row == (
        *("billing", "10,000+", "3", "0", "0", "10 min", 0, 3, "5 at once, 2 of a key", "paused"),
    )
