"""The ledger of a database, held to the rules."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from uuid import UUID

from sqlalchemy import Engine

from orchestrator.audit.finding import Finding
from orchestrator.audit.history import History, Kind
from orchestrator.audit.lease_book import LeaseBook
from orchestrator.audit.rules import check_grant, check_history
from orchestrator.auditor.checked import Checked, OnPage, unheard
from orchestrator.store import audit
from orchestrator.store.audit import NOWHERE

RUNS_OF_A_PAGE = 500
REQUESTS_OF_A_PAGE = 500


def audit_ledger(
    engine: Engine, checked: Checked, *, on_page: OnPage = unheard
) -> Iterator[Finding]:
    """
    Check every run that there is now, every lease across runs, and every remembered claim.

    Linear in the history; memory is bounded by one page of runs.

    Args:
        checked: Is counted up.
        on_page: Is called after each page.
    """
    with LeaseBook() as book:
        for page in _pages(engine):
            for history in page:
                yield from check_history(history)
                _enter(book, history)
            _count(checked, page)
            on_page(checked)
        yield from book.granted_twice()
    yield from _check_grants(engine, checked, on_page)


def audit_run(engine: Engine, checked: Checked, run_id: UUID) -> Iterator[Finding]:
    """Check one run by itself; `checked.runs` stays 0 when nothing knows it."""
    with audit.moment(engine) as connection:
        histories = audit.histories_of(connection, [run_id])
    with LeaseBook() as book:
        for history in histories:
            yield from check_history(history)
            _enter(book, history)
        yield from book.granted_twice()
    _count(checked, histories)


def _pages(engine: Engine) -> Iterator[list[History]]:
    with audit.moment(engine) as connection:
        through = audit.extent(connection).last_id
    after = NOWHERE
    while True:
        with audit.moment(engine) as connection:
            page = audit.histories_after(connection, after, through=through, limit=RUNS_OF_A_PAGE)
        if not page:
            return
        yield page
        after = page[-1].run_id


def _enter(book: LeaseBook, history: History) -> None:
    for event in history.events:
        if event.kind == Kind.CLAIMED and event.lease_id is not None:
            book.note(event.lease_id, history.run_id, event.seq)


def _count(checked: Checked, page: Sequence[History]) -> None:
    checked.runs += sum(history.run is not None for history in page)
    checked.events += sum(len(history.events) for history in page)
    checked.leases += sum(
        event.kind == Kind.CLAIMED for history in page for event in history.events
    )


def _check_grants(engine: Engine, checked: Checked, on_page: OnPage) -> Iterator[Finding]:
    last: tuple[str, UUID] | None = ("", NOWHERE)
    while last is not None:
        with audit.moment(engine) as connection:
            page = audit.grants_after(connection, last, limit=REQUESTS_OF_A_PAGE)
        for grant in page.grants:
            yield from check_grant(grant)
        checked.grants += len(page.grants)
        on_page(checked)
        last = page.last
