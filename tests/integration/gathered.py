"""Requests that come while another is being served: they wait, and are served together."""

from __future__ import annotations

import itertools
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any, TypeVar

import psycopg
import pytest
from psycopg import sql
from sqlalchemy import Connection, Engine, event

from orchestrator.desk.gathering import Gathering
from orchestrator.store import patience
from tests.acceptance.waiting import eventually
from tests.database import Database

Result = TypeVar("Result")

WAIT_SECONDS = 60


@contextmanager
def patient(database: Database, owner: psycopg.Connection) -> Iterator[None]:
    """Nobody's time is up, however slow this machine is; for connections yet to be opened."""
    settings = ("lock_timeout", "statement_timeout", "idle_in_transaction_session_timeout")
    for role, setting in itertools.product((database.service_role, owner.info.user), settings):
        owner.execute(
            sql.SQL("ALTER ROLE {} IN DATABASE {} SET {} = {}").format(
                sql.Identifier(role),
                sql.Identifier(owner.info.dbname),
                sql.Identifier(setting),
                f"{WAIT_SECONDS}s",
            )
        )
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(patience, "PATIENCE_SECONDS", float(WAIT_SECONDS))
        yield


@contextmanager
def together(
    engine: Engine,
    gathering: Gathering[Any, Any],
    first: Callable[[], object],
    works: Sequence[Callable[[], Result]],
) -> Iterator[list[Future[Result]]]:
    """
    Begin all of these, one after the other, while `first` is being served; then let it end.

    Args:
        engine: The pool whose next transaction is that of `first`.
    """
    begun, may_go_on = threading.Event(), threading.Event()

    def hold_up(_connection: Connection) -> None:
        if not begun.is_set():
            begun.set()
            assert may_go_on.wait(WAIT_SECONDS)

    event.listen(engine, "begin", hold_up)
    try:
        with ThreadPoolExecutor(len(works) + 1) as threads:
            try:
                before = threads.submit(first)
                assert begun.wait(WAIT_SECONDS)
                futures: list[Future[Result]] = []
                for number, work in enumerate(works, 1):
                    futures.append(threads.submit(work))
                    eventually(lambda number=number: len(gathering) == number)
            finally:
                may_go_on.set()
            before.result(WAIT_SECONDS)
            yield futures
    finally:
        # Not before all threads have ended: none may be told of it just now.
        event.remove(engine, "begin", hold_up)


@contextmanager
def commits(engine: Engine) -> Iterator[list[None]]:
    """One entry for each COMMIT that this pool sends meanwhile."""
    counted: list[None] = []

    def note(_connection: Connection) -> None:
        counted.append(None)

    event.listen(engine, "commit", note)
    try:
        yield counted
    finally:
        event.remove(engine, "commit", note)


@contextmanager
def first_commit_held_up(engine: Engine) -> Iterator[tuple[threading.Event, threading.Event]]:
    """Said when the first COMMIT is to be sent, and what lets it be sent."""
    sent, may_go_on = threading.Event(), threading.Event()

    def hold_up(_connection: Connection) -> None:
        if not sent.is_set():
            sent.set()
            assert may_go_on.wait(WAIT_SECONDS)

    event.listen(engine, "commit", hold_up)
    try:
        yield sent, may_go_on
    finally:
        may_go_on.set()
        event.remove(engine, "commit", hold_up)
