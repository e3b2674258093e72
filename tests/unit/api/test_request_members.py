"""What may stand in a body, member by member."""

import pytest
from pydantic import ValidationError

from orchestrator.api.validation import validation_failed
from orchestrator.api.wire.claims import ClaimRequest, RunClaimRequest
from orchestrator.api.wire.executors import Registration
from orchestrator.api.wire.leases import Release, Renewal
from orchestrator.api.wire.queries import RunQuery, RunsQuery
from orchestrator.api.wire.queues import QueueLimits
from orchestrator.api.wire.reports import Reports
from orchestrator.api.wire.runs import Resolution, RunBatch, RunCreation
from orchestrator.api.wire.workflows import Definition

A = "01a20398-f4e1-7770-9bf5-9dee2154fafc"
B = "3101282d-3343-4285-96e0-6f70dae297e6"

RUN = {"workflow": "refund"}
CLAIM = {"session": A, "requestId": B, "queues": ["default"], "limit": 8, "leaseSeconds": 30}
RENEWAL = {"session": A, "leases": [{"leaseId": A, "runId": B}]}
REPORT = {"leaseId": A, "runId": B, "stepIndex": 0, "outcome": {"status": "success"}}
REGISTRATION = {"session": A}
STEP = {"name": "pay", "type": "pay-refund"}
NO_NUMBERS = ["5", True, -1, 10**300, float("inf")]

REFUSED = [
    (RunCreation, {}, "/workflow"),
    (RunCreation, RUN | {"unknown": 1}, "/unknown"),
    (RunCreation, RUN | {"max_failures": 3}, "/max_failures"),
    *(
        (RunCreation, {"workflow": name}, "/workflow")
        for name in ["", "-a", "a b", "a\n", "x" * 64, "\u202ea", "r\u0435fund", 5, None, ["a"]]
    ),
    *(
        (RunCreation, RUN | {"queue": name}, "/queue")
        for name in ["", "x" * 129, "a\x07", "billing.*", "a/b"]
    ),
    *(
        (RunCreation, RUN | {"priority": priority}, "/priority")
        for priority in [-101, 101, "1", 1.0, True, None, 2**63]
    ),
    *(
        (RunCreation, RUN | {"availableAt": at}, "/availableAt")
        for at in [
            "0001-01-01T00:00:00Z",
            "9999-12-31T23:59:59Z",
            "2027-01-01T00:00:00",
            "now",
            "",
            "2027-02-29T00:00:00Z",
            "2027-01-01",
            "2027-01-01T24:00:01Z",
            "2027-01-01T00:00:60Z",
            "2027-01-01 00:00:00Z",
            "2027-01-01T00:00:00+15:00",
            "\u0662\u0660\u0662\u0667-01-01T00:00:00Z",
            1763805600,
            True,
        ]
    ),
    *(
        (RunCreation, RUN | {name: budget}, f"/{name}")
        for name in ["maxFailures", "maxCrashes"]
        for budget in [0, 101, "3", 3.0, None]
    ),
    (RunCreation, RUN | {"onConflict": "replace"}, "/onConflict"),
    (RunCreation, RUN | {"dedupKey": ""}, "/dedupKey"),
    (RunCreation, RUN | {"dedupKey": "x" * 256}, "/dedupKey"),
    (RunCreation, RUN | {"dedupKey": "a\nb"}, "/dedupKey"),
    (RunCreation, RUN | {"traceparent": "00-x"}, "/traceparent"),
    (RunCreation, RUN | {"concurrencyKey": ""}, "/concurrencyKey"),
    (RunCreation, RUN | {"concurrencyKey": "k" * 256}, "/concurrencyKey"),
    (RunCreation, RUN | {"concurrencyKey": 7}, "/concurrencyKey"),
    (RunBatch, {"runs": []}, "/runs"),
    (RunBatch, {"runs": [RUN] * 1001}, "/runs"),
    (RunBatch, {"runs": [RUN, {"workflow": ""}]}, "/runs/1/workflow"),
    *((ClaimRequest, CLAIM | {"limit": limit}, "/limit")
      for limit in [0, -1, 501, 2**63, 2**64, "5", 5.0, True, None]),
    *((ClaimRequest, CLAIM | {"leaseSeconds": seconds}, "/leaseSeconds")
      for seconds in [0, 1, 3601, 10**9, "30", 30.5]),
    *((ClaimRequest, CLAIM | {"waitSeconds": seconds}, "/waitSeconds") for seconds in [-1, 31]),
    (ClaimRequest, CLAIM | {"queues": []}, "/queues"),
    (ClaimRequest, CLAIM | {"queues": "default"}, "/queues"),
    (ClaimRequest, CLAIM | {"queues": ["ok", "no good"]}, "/queues/1"),
    *((ClaimRequest, CLAIM | {"requestId": name}, "/requestId")
      for name in ["1", "x" * 10_000, A.upper(), f"{{{A}}}", f"urn:uuid:{A}", A.replace("-", ""),
                   f"{A}\n", 7, None]),
    (ClaimRequest, {name: CLAIM[name] for name in CLAIM if name != "requestId"}, "/requestId"),
    (ClaimRequest, CLAIM | {"executor": "a:b"}, "/executor"),
    (Renewal, RENEWAL | {"leases": RENEWAL["leases"] * 501}, "/leases"),
    (Renewal, RENEWAL | {"leases": [{"leaseId": A}]}, "/leases/0/runId"),
    (Renewal, RENEWAL | {"asOf": "yesterday"}, "/asOf"),
    (Release, RENEWAL | {"reason": ""}, "/reason"),
    (Reports, {"session": A, "reports": [REPORT, REPORT | {"outcome": {"status": "done"}}]},
     "/reports/1/outcome"),
    (Reports, {"session": A, "reports": [REPORT | {"outcome": {}}]}, "/reports/0/outcome"),
    (Reports, {"session": A, "reports": [REPORT | {"outcome": {"status": "error"}}]},
     "/reports/0/outcome/message"),
    (Reports, {"session": A, "reports": [REPORT | {"outcome": {"status": "later"}}]},
     "/reports/0/outcome/availableAt"),
    (Reports, {"session": A, "reports": [REPORT | {"stepIndex": "0"}]}, "/reports/0/stepIndex"),
    (Reports, {"session": A, "reports": [
        REPORT | {"outcome": {"status": "awaiting-input", "waitingFor": {"onTimeout": "go"}}}]},
     "/reports/0/outcome/waitingFor/onTimeout"),
    (Resolution, {"as": "undone"}, "/as"),
    *((Registration, REGISTRATION | {"url": url}, "/url")
      for url in ["javascript:alert(1)", "ftp://a", "http://", "//a", "http://[", ""]),
    (Registration, REGISTRATION | {"replaces": "all"}, "/replaces"),
    (Registration, REGISTRATION | {"slots": 0}, "/slots"),
    *((RunsQuery, {"limit": limit}, "/limit")
      for limit in ["0", "-1", "501", "5.0", "+5", " 5", "", "\u0665", "1e2"]),
    *((QueueLimits, {name: limit}, f"/{name}")
      for name in ["maxConcurrency", "ratePerSecond", "maxConcurrencyPerKey"]
      for limit in [0, -1, 1_000_001, "5", 5.0, True]),
    (QueueLimits, {"maxConcurency": 5}, "/maxConcurency"),
    *((Definition, {"steps": [STEP | {"timeoutSeconds": seconds}]}, "/steps/0/timeoutSeconds")
      for seconds in NO_NUMBERS),
    *((Definition, {"steps": [STEP | {"retry": {name: number}}]}, f"/steps/0/retry/{name}")
      for name in ["backoffSeconds", "backoffFactor", "maxBackoffSeconds"]
      for number in NO_NUMBERS),
    (RunsQuery, {"state": "pending,nope"}, "/state"),
    (RunsQuery, {"state": ""}, "/state"),
    (RunsQuery, {"sort": ";drop table"}, "/sort"),
    (RunsQuery, {"createdAfter": "now"}, "/createdAfter"),
    (RunQuery, {"waitSeconds": "31"}, "/waitSeconds"),
]  # fmt: skip


@pytest.mark.parametrize(("model", "body", "path"), REFUSED)
def test_a_bad_member_is_refused_and_named(model, body, path):
    with pytest.raises(ValidationError) as refused:
        model.model_validate(body)
    named = {item["path"] for item in validation_failed(refused.value, body).members["errors"]}

    assert path in named


@pytest.mark.parametrize(
    ("model", "body"),
    [
        (RunCreation, RUN),
        (RunCreation, RUN | {"availableAt": "2028-02-29T23:59:59.123456789+14:00"}),
        (RunCreation, RUN | {"priority": -100, "input": None, "dedupKey": "é <script>"}),
        (ClaimRequest, CLAIM),
        (ClaimRequest, CLAIM | {"limit": 500, "leaseSeconds": 3600, "waitSeconds": 30}),
        (Renewal, {"session": A, "leases": [], "claiming": [], "asOf": None}),
        (Reports, {"session": A, "chain": True, "reports": [REPORT]}),
        (Reports, {"session": A, "reports": [REPORT | {"stepIndex": -1}]}),
        (Definition, {"steps": [STEP | {"timeoutSeconds": 5, "retry": {"backoffSeconds": 0.5}}]}),
        (RunsQuery, {"state": "pending,failed", "limit": "500", "executor": "fleet:a-1"}),
    ],
)
def test_what_the_contract_allows_is_read(model, body):
    assert model.model_validate(body)


def test_an_input_of_null_is_an_input():
    claim = {"session": A, "requestId": B}

    assert RunClaimRequest.model_validate(claim | {"input": None}).has_input
    assert not RunClaimRequest.model_validate(claim).has_input


def test_what_was_sent_is_never_repeated_in_a_refusal():
    with pytest.raises(ValidationError) as refused:
        RunCreation.model_validate({"workflow": "a secret!"})

    assert "a secret!" not in repr(validation_failed(refused.value, {}).members)
