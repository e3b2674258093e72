"""The heartbeat: what a renewal names, and what its answer sets off."""

import time

import httpx2
import pytest

from executor.client import Identity, Orchestrator
from executor.deadline import monotonic_seconds, own_deadline
from executor.heartbeat import (
    LEASES_PER_REQUEST,
    SETTLING_PERIOD_SECONDS,
    Heartbeat,
)
from executor.leases import HeldLeases
from executor.metrics import Metrics
from executor.settling import SETTLING_RENEWALS
from executor.transport import UnansweredError

SERVER_TIME = "2027-01-01T00:00:00.000Z"


@pytest.fixture
def leases():
    return HeldLeases()


@pytest.fixture
def told():
    """What the heartbeat has passed on: kind and lease."""
    return []


@pytest.fixture
def heartbeat(answers, leases, told):
    identity = Identity(token="dibs_k_secret", instance="e1", session="s")
    orchestrator = Orchestrator(answers.url, identity, httpx2.create_ssl_context())
    yield Heartbeat(
        orchestrator,
        leases,
        Metrics(),
        on_renewed=lambda lease_id: told.append(("renewed", lease_id)),
        on_lost=lambda lease_id: told.append(("lost", lease_id)),
        on_abort=lambda lease_id: told.append(("abort", lease_id)),
    )
    orchestrator.close()


def test_all_leases_and_claims_are_named_in_one_request(answers, leases, heartbeat, dispatch):
    held = [leases.hold(dispatch(), sent_at=0.0) for _ in range(3)]

    with leases.claiming("request-1"):
        heartbeat.beat()

    (body,) = answers.bodies("renew")
    assert body["session"] == "s"
    assert body["executor"] == "e1"
    assert body["claiming"] == ["request-1"]
    assert [named["leaseId"] for named in body["leases"]] == [lease.id for lease in held]


def test_as_of_is_the_server_time_of_the_last_answer(answers, leases, heartbeat, dispatch):
    leases.hold(dispatch(), sent_at=0.0)

    heartbeat.beat()
    heartbeat.beat()

    assert [body["asOf"] for body in answers.bodies("renew")] == [None, SERVER_TIME]


def test_a_renewal_moves_the_deadlines_of_what_was_renewed(answers, leases, heartbeat, dispatch):
    renewed = leases.hold(dispatch(), sent_at=0.0)
    forgotten = leases.hold(dispatch(), sent_at=0.0)
    before = forgotten.deadline
    answers.say("renew", {"renewed": [{"leaseId": renewed.id}], "serverTime": SERVER_TIME})

    heartbeat.beat()

    assert renewed.deadline > before
    assert forgotten.deadline == before


def test_what_is_lost_or_shall_stop_is_passed_on(answers, leases, heartbeat, dispatch, told):
    lost, aborted = (leases.hold(dispatch(), sent_at=0.0) for _ in range(2))
    answers.say(
        "renew",
        {
            "renewed": [{"leaseId": aborted.id}],
            "lost": [lost.id],
            "abort": [aborted.id],
            "serverTime": SERVER_TIME,
        },
    )

    heartbeat.beat()

    assert told == [("lost", lost.id), ("abort", aborted.id)]


def test_more_leases_than_fit_are_renewed_in_parts_that_free_nothing(
    answers, leases, heartbeat, dispatch
):
    heartbeat.beat()
    for _ in range(LEASES_PER_REQUEST + 1):
        leases.hold(dispatch(), sent_at=0.0)

    heartbeat.beat()

    _, first, second = answers.bodies("renew")
    assert len(first["leases"]) == LEASES_PER_REQUEST
    assert len(second["leases"]) == 1
    assert first["asOf"] is None
    assert second["asOf"] is None


def give_a_claim_up(leases):
    with pytest.raises(TimeoutError), leases.claiming("request-1"):
        raise TimeoutError


def test_renewals_after_which_orphans_are_kept_settle_nothing(answers, leases, heartbeat):
    give_a_claim_up(leases)
    kept = {"renewed": [], "orphansKept": True, "serverTime": SERVER_TIME}
    answers.say("renew", kept)
    for _ in range(2 * SETTLING_RENEWALS):
        heartbeat.beat()

    assert leases.settling_is_urgent
    answers.say("renew", kept | {"orphansKept": False})
    for _ in range(SETTLING_RENEWALS):
        assert leases.settling_is_urgent
        heartbeat.beat()
    assert not leases.settling_is_urgent


def test_renewals_in_parts_settle_nothing(answers, leases, heartbeat, dispatch):
    give_a_claim_up(leases)
    held = [leases.hold(dispatch(), sent_at=0.0) for _ in range(LEASES_PER_REQUEST + 1)]
    for _ in range(SETTLING_RENEWALS):
        heartbeat.beat()
    for lease in held:
        leases.drop(lease.id)

    assert leases.settling_is_urgent


def test_every_beat_is_a_request_of_its_own(answers, leases, heartbeat, dispatch):
    leases.hold(dispatch(), sent_at=0.0)
    heartbeat.beat()
    heartbeat.beat()

    assert len(set(answers.request_ids("renew"))) == 2


def test_a_deadline_is_counted_from_when_the_renewal_was_sent(answers, leases, heartbeat, dispatch):
    lease = leases.hold(dispatch(), sent_at=0.0)
    received_at = []

    def renew(body):
        received_at.append(monotonic_seconds())
        time.sleep(0.2)
        return 200, {"renewed": [{"leaseId": lease.id}], "serverTime": SERVER_TIME}

    answers.say("renew", renew)
    before = monotonic_seconds()
    heartbeat.beat()

    earliest, latest = (own_deadline(at, lease.seconds) for at in (before, received_at[0]))
    assert earliest <= lease.deadline <= latest


def test_the_lease_of_a_run_that_shall_stop_is_not_extended(answers, leases, heartbeat, dispatch):
    lease = leases.hold(dispatch(), sent_at=0.0)
    before = lease.deadline
    answers.say(
        "renew",
        {"renewed": [{"leaseId": lease.id}], "abort": [lease.id], "serverTime": SERVER_TIME},
    )

    heartbeat.beat()

    assert lease.deadline == before


def test_progress_of_a_renewal_that_was_not_answered_travels_again(
    answers, leases, heartbeat, dispatch
):
    lease = leases.hold(dispatch(), sent_at=0.0)
    leases.set_progress(lease.id, b'{"done":1}')
    answers.say("renew", {}, 503)

    for _ in range(2):
        with pytest.raises(UnansweredError):
            heartbeat.beat()

    told = [body["leases"][0]["progress"] for body in answers.bodies("renew")]
    assert told == [{"done": 1}, {"done": 1}]


def test_progress_said_while_a_renewal_is_under_way_travels_with_the_next(
    answers, leases, heartbeat, dispatch
):
    lease = leases.hold(dispatch(), sent_at=0.0)
    leases.set_progress(lease.id, b'{"done":1}')

    def renew(body):
        if body["leases"][0].get("progress") == {"done": 1}:
            leases.set_progress(lease.id, b'{"done":2}')
        return 200, {"renewed": [], "serverTime": SERVER_TIME}

    answers.say("renew", renew)
    heartbeat.beat()
    heartbeat.beat()

    told = [body["leases"][0]["progress"] for body in answers.bodies("renew")]
    assert told == [{"done": 1}, {"done": 2}]


def test_progress_travels_once(answers, leases, heartbeat, dispatch):
    lease = leases.hold(dispatch(), sent_at=0.0)
    leases.set_progress(lease.id, b'{"done":1}')

    heartbeat.beat()
    heartbeat.beat()

    first, second = answers.bodies("renew")
    assert first["leases"][0]["progress"] == {"done": 1}
    assert "progress" not in second["leases"][0]


@pytest.fixture
def beating(answers, heartbeat):
    """The heartbeat beats; the moments at which it does, from now on."""
    beaten_at = []

    def renew(body):
        beaten_at.append(monotonic_seconds())
        return 200, {"renewed": [], "serverTime": SERVER_TIME}

    answers.say("renew", renew)
    heartbeat.start()
    yield beaten_at
    heartbeat.stop()


def test_nothing_is_sent_while_nothing_is_held_and_no_claim_went_unanswered(
    answers, leases, beating
):
    with leases.claiming("request-1") as claim:
        claim.note_attempt()
        time.sleep(1.5)

    assert beating == []


def test_a_claim_that_needed_a_second_attempt_is_beaten_for_slowly_after_the_first_beats(
    answers, leases, beating
):
    with leases.claiming("request-1") as claim:
        claim.note_attempt()
        claim.note_attempt()
    answers.wait_for("renew", SETTLING_RENEWALS + 1)

    assert beating[-1] - beating[-2] >= SETTLING_PERIOD_SECONDS / 2
    assert not leases.settling_is_urgent
    assert leases.needs_renewals


def test_a_claim_to_settle_is_not_kept_waiting_for_the_beat_of_a_long_lease(
    answers, leases, beating, dispatch
):
    leases.hold(dispatch(lease_seconds=600), sent_at=monotonic_seconds())
    answers.wait_for("renew")
    give_a_claim_up(leases)
    given_up_at = monotonic_seconds()
    answers.wait_for("renew", 2)

    assert beating[1] - given_up_at < SETTLING_PERIOD_SECONDS / 2


@pytest.mark.parametrize(
    ("lease_seconds", "asked_seconds", "earliest_seconds", "latest_seconds"),
    [
        pytest.param(9, 1, 1.0, 2.7, id="waited for"),
        pytest.param(6, 60, 0.5, 1.9, id="no longer than a third of what is left of the lease"),
    ],
)
def test_a_retry_after_is_waited_for_as_long_as_no_lease_runs_out(
    answers,
    leases,
    heartbeat,
    dispatch,
    lease_seconds,
    asked_seconds,
    earliest_seconds,
    latest_seconds,
):
    leases.hold(dispatch(lease_seconds=lease_seconds), sent_at=monotonic_seconds())
    answers.say("renew", {}, 503, Retry_After=str(asked_seconds))

    began_at = monotonic_seconds()
    due_at = heartbeat.beat_safely()

    assert due_at >= began_at + earliest_seconds
    assert due_at <= monotonic_seconds() + latest_seconds
