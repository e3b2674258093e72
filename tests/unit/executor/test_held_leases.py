"""Leases held: at no moment is one neither named nor from a claim that is."""

import pytest

from executor.deadline import own_deadline
from executor.leases import SETTLING_RENEWALS, HeldLeases
from executor.transport import RefusedError
from executor.wire import Problem


def test_a_claim_is_named_while_it_waits_and_its_leases_from_before_it_is_not(dispatch):
    leases = HeldLeases()
    with leases.claiming("request-1"):
        assert leases.names() == (("request-1",), ())
        lease = leases.hold(dispatch(), sent_at=0.0)
        assert leases.names() == (("request-1",), (lease,))

    assert leases.names() == ((), (lease,))


def test_an_answered_claim_needs_no_settling():
    leases = HeldLeases()
    with leases.claiming("request-1"):
        pass

    assert not leases.needs_renewals


def test_a_claim_given_up_is_named_no_longer_and_settled_by_renewals():
    leases = HeldLeases()
    with pytest.raises(TimeoutError), leases.claiming("request-1"):
        raise TimeoutError

    assert leases.names() == ((), ())
    for _ in range(SETTLING_RENEWALS):
        assert leases.needs_renewals
        leases.renewed()
    assert not leases.needs_renewals


def test_a_refused_claim_has_left_nothing_behind():
    leases = HeldLeases()
    with pytest.raises(RefusedError), leases.claiming("request-1"):
        raise RefusedError(409, Problem(code="run-held"))

    assert not leases.needs_renewals


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
