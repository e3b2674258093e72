"""Answers of the orchestrator: unknown members are ignored, missing ones are not."""

import msgspec
import orjson
import pytest

from executor.wire import Caller, Claimed, Reported, UnreadableError, read

DISPATCH = {
    "run": {"id": "r", "workflow": "refund", "queue": "default", "runState": "loading"},
    "step": {
        "index": 2,
        "name": "pay",
        "type": "charge-card",
        "params": {"currency": "EUR"},
        "input": {"orderId": 7},
        "outputs": {"check": True},
        "resumed": False,
        "mutating": True,
        "timeoutSeconds": 1.5,
        "idempotencyKey": "r:2",
    },
    "lease": {
        "id": "l",
        "fence": 1763805600123,
        "expiresAt": "2027-01-01T00:00:00Z",
        "seconds": 30,
    },
    "of a later version": True,
}


def test_a_claim_is_read_with_its_unknown_members_ignored():
    claimed = read(
        Claimed,
        orjson.dumps({"dispatches": [DISPATCH], "nextPollAfterMs": 250, "replayed": True}),
    )

    (dispatch,) = claimed.dispatches
    assert claimed.next_poll_after_ms == 250
    assert claimed.replayed
    assert dispatch.step.timeout_seconds == 1.5
    assert dispatch.step.idempotency_key == "r:2"
    assert dispatch.lease.fence == 1763805600123


def test_a_dispatch_without_a_lease_is_no_dispatch():
    without = {name: part for name, part in DISPATCH.items() if name != "lease"}

    with pytest.raises(UnreadableError, match="missing required field `lease`"):
        read(Claimed, orjson.dumps({"dispatches": [without]}))


@pytest.mark.parametrize(
    "body",
    [b"", b"<html>", b"[]", b'{"dispatches": null}', b'{"dispatches": "\xff"}', b"[" * 90_000],
)
def test_what_is_no_answer_is_unreadable(body):
    with pytest.raises(UnreadableError, match="Claimed"):
        read(Claimed, body)


def test_a_refused_report_carries_its_problem():
    reported = msgspec.convert(
        {
            "results": [
                {
                    "runId": "r",
                    "status": "refused",
                    "next": None,
                    "replayed": False,
                    "problem": {"type": "…", "status": 409, "code": "lease-lost"},
                }
            ]
        },
        Reported,
    )

    problem = reported.results[0].problem
    assert problem is not None
    assert problem.code == "lease-lost"


@pytest.mark.parametrize(
    ("queues", "queue", "seen"),
    [
        (("default",), "default", True),
        (("default",), "default2", False),
        (("billing.*",), "billing.eu", True),
        (("billing.*",), "billing", False),
        (("*",), "anything", True),
        ((), "default", False),
    ],
)
def test_a_caller_sees_its_own_queues_only(queues, queue, seen):
    assert Caller(name="web", role="client", queues=queues).may_see(queue) is seen
