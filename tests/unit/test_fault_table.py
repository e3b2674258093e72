"""What tests of faults write down is added up, and shown as it is."""

from datetime import UTC, datetime
from pathlib import Path

import pytest

from tests.chaos.fault import Fault
from tests.chaos.outcomes import NONE, Outcome, bound_of, rows_of
from tests.chaos.page import PAGE
from tests.chaos.places import markdown_places
from tests.chaos.record import Record, read_records
from tests.chaos.table import lines_of, markdown_table


def outcome(test: str, *rows: str, how: str = "passed", fault: Fault | None = None) -> Outcome:
    return Outcome(test, list(rows), how, figures=fault.figures if fault else None, seed=7)


def a_fault() -> Fault:
    fault = Fault()
    fault.injected(3)
    fault.recovered(0.5, 2.25)
    fault.core(runs=100)
    return fault


def test_the_tests_of_a_row_are_added_up() -> None:
    (row,) = rows_of([outcome("a", "F1", fault=a_fault()), outcome("b", "F1", fault=a_fault())])

    assert row.line()[2:] == (
        *("6", "200", "0 / 0 / 0 / 0", "1.38", "2.25"),
        *("0 of 200: below 1e-2", "yes"),
    )


def test_a_test_of_two_rows_counts_for_both_and_rows_stand_in_the_order_of_the_list() -> None:
    rows = rows_of([outcome("a", "F16"), outcome("b", "F13", "F2")])

    assert [row.name for row in rows] == ["F2", "F13", "F16"]


def test_a_row_of_which_one_test_failed_has_not_passed_and_allows_no_bound() -> None:
    (row,) = rows_of([outcome("a", "F1", fault=a_fault()), outcome("b", "F1", how="failed")])

    assert row.line()[-2:] == (NONE, "NO")


def test_a_row_that_was_only_skipped_says_why() -> None:
    skipped = outcome("a", "F45", how="skipped")
    skipped.reason = "install pgbouncer"

    assert lines_of([skipped]) == ["F45: not run here: install pgbouncer"]
    assert "| not run |" in markdown_table([skipped])


@pytest.mark.parametrize("kind", ["lost", "doubled", "stale", "answered_500"])
def test_what_must_be_0_and_is_not_fails_the_test_and_is_written_down(kind: str) -> None:
    fault = Fault()

    with pytest.raises(AssertionError, match="of 10 runs"):
        fault.core(runs=10, **{kind: 1})

    assert fault.figures["core"][kind] == 1


def test_the_bound_is_what_none_of_so_many_allows() -> None:
    assert bound_of(10_000) == "0 of 10,000: below 3e-4"


def test_of_sessions_put_together_the_last_one_counts(tmp_path: Path) -> None:
    files = []
    for day, how in ((1, "failed"), (2, "passed")):
        record = Record(
            datetime(2026, 1, day, tzinfo=UTC),
            True,
            f"commit-{day}",
            {"cpu": "c", "cores": 2, "kernel": "k", "python": "3"},
            [outcome("a", "F1", how=how), outcome(f"only-{day}", "F2")],
        )
        files.append(tmp_path / f"{day}.json")
        files[-1].write_bytes(record.to_json())

    together = read_records(files)

    assert {one.test: one.outcome for one in together.outcomes} == {
        "a": "passed",
        "only-1": "passed",
        "only-2": "passed",
    }
    assert together.commit == "commit-2"
    assert "2026-01-02" in together.markdown()


def test_the_page_says_where_each_fault_is_tested() -> None:
    assert markdown_places() in PAGE.read_text(encoding="utf-8"), "run `python -m tests.chaos.page`"
