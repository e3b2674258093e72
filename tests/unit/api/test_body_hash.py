"""What tells a repeat from another request: the same bytes in every version and spelling.

Hashes are kept for as long as their keys count: a day, or as long as the run. The next
version must know the requests of this one, also when its models have grown a member.
"""

import hashlib
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.api.payload import body_hash
from orchestrator.api.wire.claims import ClaimRequest
from orchestrator.api.wire.reports import Reports, as_sent
from orchestrator.api.wire.runs import RunCreation

A = "01a20398-f4e1-7770-9bf5-9dee2154fafc"
B = "3101282d-3343-4285-96e0-6f70dae297e6"

CLAIM = {"session": A, "requestId": B, "queues": ["default"], "limit": 8, "leaseSeconds": 30}
RUN = {
    "workflow": "refund",
    "input": {
        "z": [1e16, 1e-5, 0.00001234, 123456789012345678901234567890, -0.0],
        "é\u202e\x7f": '\n"\\\x1f/',
    },
    "availableAt": "2026-11-22T13:26:58.123Z",
}
OUTCOMES = [
    (
        {"status": "success", "output": {"b": 1.5, "a": None}, "next": "pay"},
        "e23cc084e92b2d8885907eec954cf81ea878dcd22c72587259f9da95651b10a8",
    ),
    (
        {"status": "error", "message": "é", "retryable": False},
        "70ad4b68be1858b6c645307e394be506ba893ad110ec734d193b1079b33218aa",
    ),
    (
        {
            "status": "awaiting-input",
            "waitingFor": {
                "schema": {"type": "object"},
                "timeoutSeconds": 60,
                "onTimeout": {"next": "x"},
            },
        },
        "4a03d07768ea10433bdf2c37464df3b797bc65bad17317dd4230c5a535cd3517",
    ),
    (
        {"status": "later", "availableAt": "2026-11-22T14:26:58+01:00"},
        "39641ff5d42c0fc3f72cb4c3de7fbfdd8bf5065b18fbc45b809938468d042631",
    ),
]

doubles = st.floats(allow_nan=False, allow_infinity=False)
bodies = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | doubles
    | st.floats(min_value=-1e-3, max_value=1e-3)
    | st.floats(min_value=1e15, max_value=1e18)
    | st.text(st.characters(exclude_categories=["Cs"])),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(st.text(st.characters(exclude_categories=["Cs"])), inner, max_size=4)
    ),
    max_leaves=10,
)


def test_a_claim_has_the_hash_that_it_always_had():
    sent = ClaimRequest.model_validate(CLAIM).model_dump(mode="json")

    assert body_hash("claim", sent).hex() == (
        "a7c4af486520d93c232aaaa09d258b2da738a7f593b169014ab3a3bf7a2dcad2"
    )


def test_a_create_has_the_hash_that_it_always_had():
    sent = RunCreation.model_validate(RUN).model_dump(mode="json", exclude={"idempotency_key"})

    assert body_hash("create", sent).hex() == (
        "55d204e6f46749c3bc5d7c745533f70a9fefa27b93b9bbdc38a7c7b03d4aee28"
    )


@pytest.mark.parametrize(("outcome", "expected"), OUTCOMES, ids=[o["status"] for o, _ in OUTCOMES])
def test_an_outcome_has_the_hash_that_it_always_had(outcome, expected):
    report = {"leaseId": A, "runId": B, "stepIndex": 0, "outcome": outcome}
    told = Reports.model_validate({"session": A, "reports": [report]}).reports[0].outcome

    assert body_hash("outcome", as_sent(told)).hex() == expected


@given(bodies)
def test_a_hash_is_of_what_the_json_module_writes(body):
    written = json.dumps(["x", body], ensure_ascii=False, separators=(",", ":"), sort_keys=True)

    assert body_hash("x", body) == hashlib.sha256(written.encode()).digest()


def test_the_order_of_members_makes_no_difference():
    assert body_hash({"a": 1, "b": {"c": 2, "d": 3}}) == body_hash({"b": {"d": 3, "c": 2}, "a": 1})
