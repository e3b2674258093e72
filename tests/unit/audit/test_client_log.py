"""What a client's log tells, and whether a history bears it out."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest

from orchestrator.api.payload import body_hash
from orchestrator.api.wire.reports import Report, as_sent
from orchestrator.audit.client_log import BadEntry, Entry, read_log
from orchestrator.audit.facts import Granted, LeaseRefused, Noted, Stored
from orchestrator.audit.history import Event, History, Kind
from orchestrator.audit.told import Created, facts_of, outcome_hash
from orchestrator.lifecycle import Ending

RUN = "01900000-0000-7000-8000-000000000001"
LEASE = "aaaaaaaa-0000-4000-8000-000000000001"
OTHER_LEASE = "aaaaaaaa-0000-4000-8000-000000000002"
REQUEST = "cccccccc-0000-4000-8000-000000000001"
THEN = datetime(2026, 1, 1, tzinfo=UTC)
OUTCOME = {"status": "success", "output": {"paid": True}}

LINE: dict[str, Any] = {
    "proc": "executor-1",
    "op": "POST /v1/claims",
    "args": {},
    "sent": "2026-01-01T00:00:00.000Z",
    "returned": None,
    "result": "unknown",
    "answer": None,
}
DISPATCH = {"run": {"id": RUN}, "lease": {"id": LEASE, "fence": 5}}
CLAIM = {"requestId": REQUEST, "executor": "one"}
REPORT = {"runId": RUN, "leaseId": LEASE, "stepIndex": 0, "outcome": OUTCOME}


def told(path: str, args: Any, answer: Any, **parts: Any) -> Entry:
    entry = Entry("log:1", "executor-1", "POST", path, args, THEN, "ok", answer)
    return replace(entry, **parts)


def event(seq: int, kind: str, from_state: str | None, to_state: str, **parts: Any) -> Event:
    return Event(seq, kind, THEN + timedelta(seconds=seq), from_state, to_state, **parts)


def history() -> History:
    """One run, claimed, its step begun, reported."""
    lease = {"lease_id": UUID(LEASE), "fence": 5, "executor": "fleet:one", "actor": "fleet"}
    return History(
        UUID(RUN),
        None,
        (
            event(1, Kind.CREATED, None, "pending"),
            event(2, Kind.CLAIMED, "pending", "loading", request_id=REQUEST, **lease),
            event(3, Kind.STEP_STARTED, "loading", "started", step_index=0, **lease),
            event(
                4,
                Kind.REPORTED,
                "started",
                "finished",
                step_index=0,
                outcome="success",
                outcome_hash=outcome_hash(OUTCOME),
                **lease,
            ),
        ),
    )


def results(status: str, code: str | None = None) -> dict[str, Any]:
    return {"results": [{"runId": RUN, "status": status, "problem": code and {"code": code}}]}


def renewed_at(seconds: float) -> dict[str, Any]:
    at = (THEN + timedelta(seconds=seconds)).isoformat()
    return {"renewed": [{"leaseId": LEASE}], "released": [], "serverTime": at}


NAMED = {"leases": [{"leaseId": LEASE, "runId": RUN}]}
OTHER = {"leases": [{"leaseId": OTHER_LEASE, "runId": RUN}]}
REPORTS = {"reports": [REPORT]}
BORNE_OUT = [
    told("/v1/claims", CLAIM, {"dispatches": [DISPATCH]}),
    told("/v1/claims", {"requestId": REQUEST}, {"dispatches": [DISPATCH]}),
    told(f"/v1/runs/{RUN}/claim", CLAIM, DISPATCH),
    told("/v1/reports", REPORTS, results("finished")),
    told("/v1/leases/renew", NAMED, renewed_at(2)),
    told("/v1/leases/renew", NAMED, renewed_at(3.5)),
    told("/v1/leases/renew", NAMED, renewed_at(-600)),
    told(f"/v1/runs/{RUN}/steps/0/start", {"leaseId": LEASE}, {"started": True}),
    told("/v1/runs", {"workflow": "refund"}, {"id": RUN}),
    told("/v1/runs/batch", {"runs": [{"workflow": "refund"}]}, {"runs": [{"id": RUN}]}),
]
DENIED = [
    (told("/v1/claims", {"requestId": LEASE}, {"dispatches": [DISPATCH]}), "for request"),
    (told("/v1/claims", CLAIM | {"executor": "two"}, {"dispatches": [DISPATCH]}), "to two"),
    (
        told(
            f"/v1/runs/{RUN}/claim", CLAIM, {**DISPATCH, "lease": {"id": OTHER_LEASE, "fence": 5}}
        ),
        "no claim of it",
    ),
    (
        told(f"/v1/runs/{RUN}/claim", CLAIM, {**DISPATCH, "lease": {"id": LEASE, "fence": 6}}),
        "with fence 6",
    ),
    (told("/v1/reports", REPORTS, results("continue")), "made the run finished, not started"),
    (
        told("/v1/reports", {"reports": [REPORT | {"stepIndex": 1}]}, results("finished")),
        "is not stored",
    ),
    (
        told("/v1/reports", {"reports": [REPORT | {"leaseId": OTHER_LEASE}]}, results("finished")),
        "is not stored",
    ),
    (
        told("/v1/reports", {"reports": [REPORT | {"outcome": {}}]}, results("finished")),
        "another outcome",
    ),
    (told("/v1/reports", REPORTS, results("refused", "lease-lost")), "event 4 stores it"),
    (
        told("/v1/leases/renew", OTHER, renewed_at(3) | {"renewed": [{"leaseId": OTHER_LEASE}]}),
        "no claim of it",
    ),
    (told("/v1/leases/renew", NAMED, renewed_at(5)), "after it had ended"),
    (
        told(
            "/v1/leases/renew", {"leases": []}, renewed_at(3) | {"renewed": [], "released": [RUN]}
        ),
        "no event orphaned",
    ),
    (told("/v1/leases/release", NAMED, {"released": [RUN], "lost": []}), "no event released"),
    (told(f"/v1/runs/{RUN}/steps/1/start", {"leaseId": LEASE}, {}), "no event step-started"),
    (told(f"/v1/runs/{RUN}/steps/0/start", {"leaseId": OTHER_LEASE}, {}), "no event step-started"),
    (told(f"/v1/runs/{RUN}/abort", {}, {"id": RUN}), "no event abort-requested or aborted"),
    (told(f"/v1/runs/{RUN}/retry", {}, {"id": RUN}), "no event retried"),
    (told(f"/v1/runs/{RUN}/resume", {}, {"id": RUN}), "no event resumed"),
    (told(f"/v1/runs/{RUN}/resolve", {}, {"id": RUN}), "no event resolved"),
]


@pytest.mark.parametrize("entry", BORNE_OUT, ids=lambda entry: entry.path)
def test_what_is_in_the_ledger_is_borne_out(entry: Entry) -> None:
    (fact,) = facts_of(entry)

    assert list(fact.denials(history())) == []


@pytest.mark.parametrize(("entry", "said"), DENIED, ids=lambda value: getattr(value, "path", None))
def test_what_is_not_in_the_ledger_is_denied(entry: Entry, said: str) -> None:
    (denial,) = (denial for fact in facts_of(entry) for denial in fact.denials(history()))

    assert said in denial


def test_a_created_run_has_a_history() -> None:
    (created,) = facts_of(told("/v1/runs", {"workflow": "refund"}, {"id": RUN}))

    assert list(created.denials(History(UUID(RUN), None, ()))) == ["the run has no events"]


def test_a_lease_that_another_one_overtook_had_ended() -> None:
    claimed = history().events[1]
    stolen = replace(claimed, seq=3, at=THEN + timedelta(seconds=3), lease_id=UUID(OTHER_LEASE))
    overtaken = History(UUID(RUN), None, (claimed, stolen))
    (renewed,) = facts_of(told("/v1/leases/renew", NAMED, renewed_at(4)))

    (denial,) = renewed.denials(overtaken)
    assert "after it had ended" in denial


def test_a_renewal_of_before_the_clock_stepped_back_is_borne_out() -> None:
    created, claimed, begun, reported = history().events
    back = timedelta(minutes=10)
    stepped = (created, claimed, replace(begun, at=begun.at - back), reported)
    (renewed,) = facts_of(told("/v1/leases/renew", NAMED, renewed_at(5)))

    assert list(renewed.denials(History(UUID(RUN), None, stepped))) == []


def test_a_clock_that_stepped_back_before_the_grant_excuses_nothing() -> None:
    created, *later = history().events
    stepped = (replace(created, at=created.at + timedelta(minutes=10)), *later)
    (renewed,) = facts_of(told("/v1/leases/renew", NAMED, renewed_at(5)))

    (denial,) = renewed.denials(History(UUID(RUN), None, stepped))
    assert "after it had ended" in denial


@pytest.mark.parametrize("named", [[LEASE, OTHER_LEASE], [OTHER_LEASE, LEASE]])
def test_of_two_leases_of_one_run_the_one_that_was_not_lost_was_released(named: list[str]) -> None:
    asked = {"leases": [{"leaseId": lease_id, "runId": RUN} for lease_id in named]}
    answer = {"released": [RUN], "lost": [OTHER_LEASE]}

    assert facts_of(told("/v1/leases/release", asked, answer)) == [
        Noted(UUID(RUN), frozenset({Ending.RELEASED}), UUID(LEASE))
    ]


@pytest.mark.parametrize(
    ("kept", "borne_out"), [("abort", True), (None, True), ("run-again", False)]
)
def test_a_resolve_is_told_by_what_it_said(kept: str | None, borne_out: bool) -> None:
    said = event(2, Kind.RESOLVED, "waiting", "aborted", as_=kept)
    (fact,) = facts_of(told(f"/v1/runs/{RUN}/resolve", {"as": "abort"}, {"id": RUN}))

    denials = list(fact.denials(History(UUID(RUN), None, (said,))))
    assert denials == ([] if borne_out else ["the ledger has no event resolved as abort of it"])


def test_an_act_whose_body_was_left_out_is_a_fact() -> None:
    assert len(facts_of(told(f"/v1/runs/{RUN}/retry", None, {"id": RUN}))) == 1


def test_another_refusal_than_a_lost_lease_tells_nothing() -> None:
    assert facts_of(told("/v1/reports", REPORTS, results("refused", "outcome-conflict"))) == []


@pytest.mark.parametrize("result", ["refused", "unknown"])
def test_only_what_was_answered_well_is_told(result: str) -> None:
    assert facts_of(told("/v1/claims", CLAIM, {"dispatches": [DISPATCH]}, result=result)) == []


@pytest.mark.parametrize(
    ("method", "path"), [("GET", f"/v1/runs/{RUN}"), ("POST", "/v1/queues/default/pause")]
)
def test_what_changes_no_run_tells_nothing(method: str, path: str) -> None:
    assert facts_of(told(path, None, {"anything": 1}, method=method)) == []


def test_each_item_of_a_batch_is_a_fact() -> None:
    reports = {"reports": [REPORT, REPORT | {"stepIndex": 1}]}
    both = {"results": results("finished")["results"] + results("refused", "lease-lost")["results"]}

    assert [type(fact) for fact in facts_of(told("/v1/reports", reports, both))] == [
        Stored,
        LeaseRefused,
    ]
    (granted,) = facts_of(told("/v1/claims", CLAIM, {"dispatches": [DISPATCH]}))
    assert granted == Granted(UUID(RUN), UUID(LEASE), 5, REQUEST, "one")


def test_a_create_that_may_have_found_another_run_says_nothing_of_its_content() -> None:
    asked = {"workflow": "refund", "input": 1, "dedupKey": "k", "onConflict": "return"}

    assert facts_of(told("/v1/runs", asked, {"id": RUN})) == [Created(UUID(RUN), None, None, None)]


@pytest.mark.parametrize(
    "outcome",
    [
        {"status": "success"},
        {"status": "success", "output": {"z": 1, "a": [1.5, "ü", None]}, "next": "pay"},
        {"status": "error", "message": "no", "retryable": False},
        {"status": "awaiting-input", "waitingFor": {"timeoutSeconds": 5}},
        {"status": "later", "availableAt": "2026-11-22T13:26:58.123+01:00"},
        {"status": "later", "availableAt": "2026-11-22T13:26:58Z"},
    ],
)
def test_the_hash_of_an_outcome_is_the_orchestrator_s(outcome: dict[str, Any]) -> None:
    report = Report.model_validate(REPORT | {"outcome": outcome})

    assert outcome_hash(outcome) == body_hash("outcome", as_sent(report.outcome)).hex()


def written(directory: Path, text: str) -> Path:
    file = directory / "log.jsonl"
    file.write_text(text)
    return file


def test_a_log_is_read_line_by_line(tmp_path: Path) -> None:
    named = LINE | {"op": "GET /v1/runs?limit=1", "more": "is ignored"}
    file = written(tmp_path, f"{json.dumps(LINE)}\n\n{json.dumps(named)}\n")

    first, second = read_log(file)
    assert (first.place, first.method, first.path) == (f"{file}:1", "POST", "/v1/claims")
    assert (second.place, second.method, second.path) == (f"{file}:3", "GET", "/v1/runs")


def test_a_last_line_that_was_cut_off_is_left_out(tmp_path: Path) -> None:
    assert len(list(read_log(written(tmp_path, f'{json.dumps(LINE)}\n{{"proc": "ex')))) == 1


@pytest.mark.parametrize(
    "line",
    [
        "nonsense",
        "[]",
        "{}",
        json.dumps(LINE | {"sent": "2026-01-01T00:00:00"}),
        json.dumps(LINE | {"sent": "yesterday"}),
        json.dumps(LINE | {"result": "fine"}),
        json.dumps(LINE | {"op": None}),
    ],
)
def test_what_is_no_entry_is_named(tmp_path: Path, line: str) -> None:
    with pytest.raises(BadEntry, match=r"log\.jsonl:1"):
        list(read_log(written(tmp_path, f"{line}\n")))


@pytest.mark.parametrize(
    ("path", "args", "answer"),
    [
        ("/v1/claims", CLAIM, None),
        ("/v1/claims", None, {"dispatches": [DISPATCH]}),
        ("/v1/reports", REPORTS, {"results": []}),
        ("/v1/runs", {"workflow": "refund"}, {"id": "none"}),
        ("/v1/leases/renew", {"leases": []}, renewed_at(3)),
    ],
)
def test_an_answer_that_does_not_fit_is_no_entry(path: str, args: Any, answer: Any) -> None:
    with pytest.raises(BadEntry, match="log:1"):
        facts_of(told(path, args, answer))
