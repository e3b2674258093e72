"""The lookout: when no thread can be had for it, claims are answered, and the next tries again."""

from __future__ import annotations

import time
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from orchestrator.desk import claim_desk
from orchestrator.desk.claim_desk import LOOK_DEAF_SECONDS
from tests.acceptance.waiting import eventually
from tests.integration.dibs import Dibs
from tests.integration.threads import no_thread_to_be_had
from tests.integration.wishes import Executor

WAIT_SECONDS = 20.0


def test_a_claim_for_which_nobody_would_look_is_answered_at_once_and_leaves_nothing_parked(
    dibs: Dibs, executor: Executor, other: Executor
) -> None:
    with no_thread_to_be_had("lookout"):
        answers = [dibs.claim(one, wait_seconds=WAIT_SECONDS) for one in (executor, other)]

    assert [answer.dispatches for answer in answers] == [(), ()]
    assert all(answer.next_poll_after_ms > 0 for answer in answers)
    assert dibs.desk.parked == 0
    # Nobody is there for the bell to call: this run is for whoever asks.
    run = dibs.pending()
    assert [each.run.id for each in dibs.claim(executor).dispatches] == [run.id]


def test_the_next_claim_begins_to_look(dibs: Dibs, executor: Executor) -> None:
    with no_thread_to_be_had("lookout"):
        dibs.claim(executor, wait_seconds=WAIT_SECONDS)
    # Nobody rings: whoever is answered was looked for.
    dibs.bell.hear = lambda arrived: arrived
    with ThreadPoolExecutor(1) as thread:
        parked = thread.submit(dibs.claim, executor, wait_seconds=WAIT_SECONDS)
        eventually(lambda: dibs.desk.parked)
        run = dibs.pending()

        assert [each.run.id for each in parked.result(WAIT_SECONDS / 2).dispatches] == [run.id]


def test_one_whose_wait_is_over_when_its_time_is_up_is_answered_empty(
    dibs: Dibs, executor: Executor, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The look takes it out of the parking, its time is up, and then it is told."""
    monkeypatch.setattr(claim_desk, "LONG_WAIT_SECONDS", 0.1)
    wait_seconds = 2 * LOOK_DEAF_SECONDS
    asked_at = time.monotonic()
    call = dibs.desk._parking.call

    def and_tell_late(waiters: Iterable[Any]) -> list[Any]:
        called = call(waiters)
        if called:
            eventually(lambda: time.monotonic() > asked_at + wait_seconds + 0.5)
        return called

    monkeypatch.setattr(dibs.desk._parking, "call", and_tell_late)
    answer = dibs.claim(executor, wait_seconds=wait_seconds)

    assert answer.dispatches == ()
    assert time.monotonic() > asked_at + wait_seconds
