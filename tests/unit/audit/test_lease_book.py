"""A lease id that was granted twice is found, however many there are."""

from __future__ import annotations

from uuid import UUID, uuid4

import pytest

from orchestrator.audit.finding import Rule
from orchestrator.audit.lease_book import LeaseBook

ONE, OTHER = uuid4(), uuid4()


@pytest.mark.parametrize("spill_bytes", [40, 200, 64 * 1024])
def test_leases_of_their_own_are_right(spill_bytes: int) -> None:
    with LeaseBook(spill_bytes=spill_bytes) as book:
        for seq in range(3_000):
            book.note(uuid4(), ONE, seq)

        assert list(book.granted_twice()) == []


@pytest.mark.parametrize("spill_bytes", [40, 200, 64 * 1024])
@pytest.mark.parametrize("again", [ONE, OTHER])
def test_a_lease_that_was_granted_twice_is_found_with_both_runs(
    again: UUID, spill_bytes: int
) -> None:
    lease_id = uuid4()
    with LeaseBook(spill_bytes=spill_bytes) as book:
        book.note(lease_id, ONE, 2)
        for seq in range(3_000):
            book.note(uuid4(), uuid4(), seq)
        book.note(lease_id, again, 7)

        (finding,) = book.granted_twice()

    assert (finding.run_id, finding.seq, finding.rule) == (again, 7, Rule.LEASE_USED_AGAIN)
    assert f"to run {ONE} in event 2" in finding.what


def test_temporary_files_are_closed_with_the_book() -> None:
    with LeaseBook(spill_bytes=40) as book:
        book.note(uuid4(), ONE, 2)
        (file,) = book._files.values()

    assert file.closed
