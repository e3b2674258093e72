"""Runs that were just claimed: begun at once, or when a renewal has said that they are ours."""

import httpx2
import pytest

from executor.arrival import Arrival
from executor.client import Identity, Orchestrator
from executor.deadline import monotonic_seconds
from executor.leases import HeldLeases

LEASE_SECONDS = 600


@pytest.fixture
def orchestrator(answers):
    identity = Identity(token="dibs_k_secret", instance="e1", session="s")
    orchestrator = Orchestrator(answers.url, identity, httpx2.create_ssl_context())
    yield orchestrator
    orchestrator.close()


def test_what_a_quick_claim_brought_is_begun_without_a_question(answers, orchestrator, dispatch):
    leases = HeldLeases()
    made = dispatch(lease_seconds=LEASE_SECONDS)
    arrival = Arrival(leases, [made], sent_at=monotonic_seconds())

    assert [each for each, _ in arrival.confirmed(orchestrator)] == [made]
    assert answers.bodies("renew") == []


def test_of_a_claim_that_was_answered_late_only_what_is_ours_still_is_begun(
    answers, orchestrator, dispatch
):
    leases = HeldLeases()
    ours, lost = (dispatch(lease_seconds=LEASE_SECONDS) for _ in range(2))
    answers.say(
        "renew",
        {
            "renewed": [{"leaseId": ours.lease.id}],
            "lost": [lost.lease.id],
            "serverTime": "2027-01-01T00:00:00.000Z",
        },
    )
    arrival = Arrival(leases, [ours, lost], sent_at=monotonic_seconds() - LEASE_SECONDS / 2)

    assert [each for each, _ in arrival.confirmed(orchestrator)] == [ours]
    assert [leases.holds(each.lease.id) for each in (ours, lost)] == [True, False]
