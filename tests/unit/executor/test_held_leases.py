"""Leases held: at no moment is one neither named nor from a claim that is."""

from contextlib import suppress

import pytest

from executor.deadline import monotonic_seconds, own_deadline
from executor.leases import HeldLeases
from executor.settling import DEAD_COPY_SECONDS, SETTLING_RENEWALS
from executor.transport import RefusedError
from executor.wire import Problem


def test_a_claim_is_named_while_it_waits_and_its_leases_from_before_it_is_not(dispatch):
    leases = HeldLeases()
    with leases.claiming("request-1"):
        assert leases.names() == (("request-1",), ())
        lease = leases.hold(dispatch(), sent_at=0.0)
        assert leases.names() == (("request-1",), (lease,))

    assert leases.names() == ((), (lease,))


def give_a_claim_up(leases):
    with pytest.raises(TimeoutError), leases.claiming("request-1"):
        raise TimeoutError


def test_a_claim_given_up_is_named_no_longer_and_settled_by_renewals():
    leases = HeldLeases()
    give_a_claim_up(leases)

    assert leases.names() == ((), ())
    for _ in range(SETTLING_RENEWALS):
        assert leases.settling_is_urgent
        leases.renewed(monotonic_seconds())
    assert leases.wait_until_settled(0)


def test_a_claim_given_up_is_settled_on_for_as_long_as_a_copy_of_it_may_be_parked():
    leases = HeldLeases()
    give_a_claim_up(leases)
    given_up_at = monotonic_seconds()
    for _ in range(10):
        leases.renewed(given_up_at + DEAD_COPY_SECONDS - 1)

    assert leases.needs_renewals
    for _ in range(SETTLING_RENEWALS):
        assert leases.needs_renewals
        leases.renewed(given_up_at + DEAD_COPY_SECONDS)
    assert not leases.needs_renewals


def test_an_answered_claim_is_settled_when_an_earlier_attempt_was_not_answered():
    leases = HeldLeases()
    with leases.claiming("request-1") as claim:
        claim.note_attempt()
        claim.note_attempt()

    assert leases.settling_is_urgent


def test_an_answered_claim_needs_no_settling_when_it_was_sent_once():
    leases = HeldLeases()
    with leases.claiming("request-1") as claim:
        claim.note_attempt()

    assert not leases.needs_renewals


def refuse(leases, *, attempts):
    with suppress(RefusedError), leases.claiming("request-1") as claim:
        for _ in range(attempts):
            claim.note_attempt()
        raise RefusedError(409, Problem(code="run-held"))


def test_a_claim_refused_at_once_has_left_nothing_behind():
    leases = HeldLeases()
    refuse(leases, attempts=1)

    assert not leases.needs_renewals


def test_a_claim_refused_after_an_unanswered_attempt_is_settled():
    leases = HeldLeases()
    refuse(leases, attempts=2)

    assert leases.settling_is_urgent


def test_a_lease_is_named_until_it_is_dropped(dispatch):
    leases = HeldLeases()
    lease = leases.hold(dispatch(), sent_at=0.0)
    assert leases.holds(lease.id)

    leases.drop(lease.id)

    assert not leases.holds(lease.id)
    assert leases.names() == ((), ())


def test_a_deadline_moves_forward_with_renewals_and_never_back(dispatch):
    leases = HeldLeases()
    lease = leases.hold(dispatch(lease_seconds=30), sent_at=100.0)

    leases.extend([lease.id], sent_at=110.0)
    leases.extend([lease.id], sent_at=105.0)

    assert lease.deadline == own_deadline(110.0, 30)


def test_a_lease_is_overdue_after_its_deadline_and_not_before(dispatch):
    leases = HeldLeases()
    lease = leases.hold(dispatch(), sent_at=100.0)

    assert leases.overdue(lease.deadline) == []
    assert leases.overdue(lease.deadline + 0.001) == [lease]
