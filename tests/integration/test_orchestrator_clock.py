"""Only the database's clock counts: an orchestrator's own may be an hour wrong, either way."""

from __future__ import annotations

import sys
import time
from datetime import datetime, timedelta, tzinfo

import pytest

from tests.integration.dibs import Dibs
from tests.integration.wishes import Executor

LEASE_SECONDS = 30


@pytest.fixture(autouse=True, params=[1, -1], ids=["ahead", "behind"])
def wrong_clock(
    dibs: Dibs, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The orchestrator's clock is an hour wrong, and the database's is right."""
    wrong_by = timedelta(hours=request.param)

    class WrongClock(datetime):
        @classmethod
        def now(cls, tz: tzinfo | None = None) -> datetime:  # type: ignore[override]
            return datetime.now(tz) + wrong_by

    right = time.time
    monkeypatch.setattr(time, "time", lambda: right() + wrong_by.total_seconds())
    for name, module in sys.modules.items():
        if name.partition(".")[0] == "orchestrator" and vars(module).get("datetime") is datetime:
            monkeypatch.setattr(module, "datetime", WrongClock)


def test_the_keeper_takes_what_has_expired_and_nothing_else(dibs: Dibs, executor: Executor) -> None:
    lives, expired = dibs.dispatch(executor), dibs.dispatch(executor)
    dibs.expire(expired.run.id)
    dibs.tick()

    assert dibs.row(lives.run.id)["leaseId"] == lives.lease.id
    assert dibs.state(expired.run.id) == "pending"


def test_a_lease_lasts_as_long_as_it_says_from_its_claim_and_from_its_renewal(
    dibs: Dibs, executor: Executor
) -> None:
    length = timedelta(seconds=LEASE_SECONDS)
    dibs.pending()
    by_id = dibs.dispatch(executor, lease_seconds=LEASE_SECONDS)
    (by_poll,) = dibs.claim(executor, lease_seconds=LEASE_SECONDS).dispatches
    claimed = [dibs.row(each.run.id) for each in (by_id, by_poll)]
    before = dibs.now()
    dibs.renew(executor, by_id, by_poll)
    after = dibs.now()

    assert [row["leaseExpiresAt"] - row["lockedAt"] for row in claimed] == [
        pytest.approx(length, abs=timedelta(seconds=1))
    ] * 2
    for each in (by_id, by_poll):
        assert before + length <= dibs.row(each.run.id)["leaseExpiresAt"] <= after + length


def test_a_run_becomes_due_at_its_time_and_not_before(dibs: Dibs, executor: Executor) -> None:
    soon = dibs.now() + timedelta(minutes=30)
    due, not_due = dibs.pending(available_at=soon), dibs.pending(available_at=soon)
    later = dibs.dispatch(executor)
    dibs.tell(later, executor, "later", available_at=soon)
    dibs.make_due(due.id)
    dibs.tick()

    states = [dibs.state(each) for each in (due.id, not_due.id, later.run.id)]
    assert states == ["pending", "scheduled", "scheduled"]
