"""Each rule of the audit finds the one history that breaks it, and leaves right ones alone."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import pytest

from orchestrator.audit.finding import Rule
from orchestrator.audit.history import Event, Grant, History, Kind, Run, Step
from orchestrator.audit.order import LEGAL
from orchestrator.audit.rules import check_grant, check_history
from orchestrator.lifecycle import Ending

RUN_ID = UUID("01900000-0000-7000-8000-000000000001")
REQUEST_ID = UUID("cccccccc-0000-4000-8000-000000000001")
FIRST, SECOND = (UUID(f"aaaaaaaa-0000-4000-8000-00000000000{n}") for n in (1, 2))
THEN = datetime(2026, 1, 1, tzinfo=UTC)

Forge = Callable[[History], History]


def free(seq: int, kind: str, from_state: str | None, to_state: str, **parts: Any) -> Event:
    return Event(seq, kind, THEN, from_state, to_state, **parts)


def held(seq: int, kind: str, from_state: str, to_state: str, **parts: Any) -> Event:
    """An event under the first lease."""
    lease = {"lease_id": FIRST, "fence": 5, "executor": "fleet:one", "actor": "fleet"}
    return free(seq, kind, from_state, to_state, **{**lease, **parts})


def claim(seq: int, **parts: Any) -> Event:
    plain = {"request_id": str(REQUEST_ID), "granted": True}
    return held(seq, Kind.CLAIMED, "pending", "loading", **{**plain, **parts})


def success(seq: int, to_state: str, **parts: Any) -> Event:
    return held(seq, Kind.REPORTED, "started", to_state, **{"outcome": "success", **parts})


def history(*events: Event, steps: tuple[Step, ...] = (), **row: Any) -> History:
    """A history whose row says what its last event says, but for these columns."""
    plain: dict[str, Any] = {
        "id": RUN_ID,
        "state": events[-1].to_state,
        "version": len(events),
        "step_index": 0,
        "attempt": sum(event.kind == Kind.CLAIMED for event in events),
        "fence": max((event.fence or 0 for event in events), default=0),
        "lease_id": None,
        "executor": None,
    }
    return History(RUN_ID, Run(**{**plain, **row}), events, steps)


def two_steps() -> History:
    """A mutating step and another one, chained under one lease to the end."""
    return history(
        free(1, Kind.CREATED, None, "pending", actor="web"),
        claim(2),
        held(3, Kind.STARTED, "loading", "started"),
        held(4, Kind.STEP_STARTED, "started", "started", step_index=0),
        success(5, "started", step_index=0, next_step="tell"),
        success(6, "finished", step_index=1),
        steps=(Step(0, "finished"), Step(1, "finished")),
        step_index=1,
    )


def lost_and_found() -> History:
    """A lease that expired, another one, an error, an operator's retry."""
    again: dict[str, Any] = {"lease_id": SECOND, "fence": 9}
    return history(
        free(1, Kind.CREATED, None, "scheduled", actor="web"),
        free(2, Kind.DUE, "scheduled", "pending"),
        claim(3),
        held(4, Kind.STEP_STARTED, "loading", "started", step_index=0),
        held(5, Ending.EXPIRED, "started", "waiting", step_index=0, actor=None),
        free(6, Kind.RESOLVED, "waiting", "pending", step_index=0, actor="ops"),
        claim(7, **again),
        held(8, Kind.ABORT_REQUESTED, "loading", "loading", step_index=1, actor="web", **again),
        held(9, Kind.REPORTED, "loading", "aborted", step_index=1, outcome="error", **again),
        free(10, Kind.RETRIED, "aborted", "pending", step_index=1, actor="ops"),
        steps=(Step(0, "unknown"), Step(1, "failed")),
        step_index=1,
    )


def resolved(as_: str | None, to_state: str, *, step_index: int, stored: str) -> History:
    """A run of unknown outcome, and what an operator said of it."""
    return history(
        free(1, Kind.CREATED, None, "pending", actor="web"),
        claim(2),
        held(3, Kind.STEP_STARTED, "loading", "started", step_index=0),
        held(4, Ending.EXPIRED, "started", "waiting", step_index=0, actor=None),
        free(5, Kind.RESOLVED, "waiting", to_state, step_index=0, actor="ops", as_=as_),
        steps=(Step(0, stored),),
        step_index=step_index,
    )


def swap(seq: int, **changes: Any) -> Forge:
    """Change one event."""

    def forge(right: History) -> History:
        events = tuple(
            replace(event, **changes) if event.seq == seq else event for event in right.events
        )
        return replace(right, events=events)

    return forge


def row(**changes: Any) -> Forge:
    """Change the run's row."""
    return lambda right: replace(right, run=replace(right.run, **changes))


def append(*events: Event, **changes: Any) -> Forge:
    """Let more have happened, and let the row agree but for these columns."""

    def forge(right: History) -> History:
        last: dict[str, Any] = {
            "state": events[-1].to_state,
            "version": events[-1].seq,
            "attempt": right.run.attempt + sum(event.kind == Kind.CLAIMED for event in events),
        }
        return row(**last, **changes)(replace(right, events=right.events + events))

    return forge


def drop(seq: int) -> Forge:
    """Let one event be missing."""
    return lambda right: replace(
        right, events=tuple(event for event in right.events if event.seq != seq)
    )


def stolen(seq: int, **changes: Any) -> Event:
    """A claim while the first lease may live."""
    return claim(seq, **{"lease_id": SECOND, "fence": 9, **changes})


HELD_BY_SECOND = {"lease_id": SECOND, "fence": 9, "executor": "fleet:one"}
AFTER_TWO_STEPS = [
    pytest.param(forge, rules, id=name)
    for name, forge, rules in [
        (
            "an event is missing at the end",
            drop(6),
            {Rule.ROW_DISAGREES, Rule.RESULT_WITHOUT_REPORT},
        ),
        ("an event is missing in between", drop(4), {Rule.SEQ_GAP}),
        (
            "no event at all",
            lambda r: replace(r, events=(), steps=()),
            {Rule.ROW_DISAGREES},
        ),
        ("no row", lambda r: replace(r, run=None), {Rule.NO_RUN}),
        (
            "an event that begins elsewhere",
            swap(6, from_state="loading"),
            {Rule.BROKEN_CHAIN},
        ),
        (
            "a change that no event may make",
            swap(2, kind=Kind.STARTED),
            {Rule.ILLEGAL_TRANSITION, Rule.FOREIGN_LEASE, Rule.ROW_DISAGREES},
        ),
        ("an unknown kind", swap(3, kind="invented"), {Rule.ILLEGAL_TRANSITION}),
        (
            "a claim of a finished run",
            append(stolen(7), **HELD_BY_SECOND),
            {Rule.AFTER_THE_END},
        ),
        (
            "a retry of a finished run",
            append(free(7, Kind.RETRIED, "failed", "pending")),
            {Rule.AFTER_THE_END},
        ),
        (
            "a second outcome",
            append(free(7, Kind.ABORTED, "pending", "aborted")),
            {Rule.AFTER_THE_END},
        ),
        (
            "a success with a next step that ends the run",
            swap(6, next_step="more"),
            {Rule.OUTCOME_STATE, Rule.ROW_DISAGREES},
        ),
        (
            "an error that finishes the run",
            swap(6, outcome="error"),
            {Rule.OUTCOME_STATE, Rule.RESULT_WITHOUT_REPORT},
        ),
        (
            "a claim while another lease lives",
            swap(3, kind=Kind.CLAIMED, from_state="pending", to_state="loading", request_id="r"),
            {Rule.LEASE_OVERLAP, Rule.BROKEN_CHAIN, Rule.FENCE_NOT_GROWING, Rule.ROW_DISAGREES},
        ),
        ("a claim for no request", swap(2, request_id=None), {Rule.LEASE_INCOMPLETE}),
        ("a claim that its request did not get", swap(2, granted=False), {Rule.GRANT_DISAGREES}),
        ("a report under another lease", swap(5, lease_id=SECOND), {Rule.FOREIGN_LEASE}),
        ("a report under another fence", swap(5, fence=6), {Rule.FOREIGN_LEASE}),
        (
            "a report of another process",
            swap(5, executor="fleet:two"),
            {Rule.FOREIGN_LEASE},
        ),
        ("a report under no lease", swap(6, lease_id=None), {Rule.FOREIGN_LEASE}),
        ("a report of a stranger", swap(6, actor="strangers"), {Rule.NOT_THE_HOLDER}),
        ("a claim by a stranger", swap(2, actor="strangers"), {Rule.NOT_THE_HOLDER}),
        (
            "a report that names no step",
            swap(6, step_index=None),
            {Rule.WRONG_STEP, Rule.RESULT_WITHOUT_REPORT},
        ),
        (
            "a step that falls",
            swap(6, step_index=0),
            {Rule.WRONG_STEP, Rule.SECOND_RESULT, Rule.RESULT_WITHOUT_REPORT, Rule.ROW_DISAGREES},
        ),
        (
            "a second success of a step",
            lambda r: append(success(6, "finished", step_index=0))(
                replace(drop(6)(r), steps=(Step(0, "finished"),), run=replace(r.run, step_index=0))
            ),
            {Rule.WRONG_STEP, Rule.SECOND_RESULT},
        ),
        (
            "a result that nobody reported",
            lambda r: replace(r, steps=(*r.steps, Step(2, "finished"))),
            {Rule.RESULT_WITHOUT_REPORT},
        ),
        (
            "a reported result that is not stored",
            lambda r: replace(r, steps=r.steps[:1]),
            {Rule.REPORT_WITHOUT_RESULT},
        ),
        ("a row in another state", row(state="failed"), {Rule.ROW_DISAGREES}),
        ("a row of another version", row(version=7), {Rule.ROW_DISAGREES}),
        ("a row under a lease", row(lease_id=FIRST), {Rule.ROW_DISAGREES}),
        ("a row with a holder", row(executor="fleet:one"), {Rule.ROW_DISAGREES}),
        ("a row with another fence", row(fence=6), {Rule.ROW_DISAGREES}),
        ("a row with more leases", row(attempt=2), {Rule.ROW_DISAGREES}),
        ("a row at another step", row(step_index=2), {Rule.ROW_DISAGREES}),
        (
            "a lease that nobody took back",
            row(overdue_seconds=0.5),
            {Rule.LEASE_NOT_TAKEN_BACK},
        ),
    ]
]
AFTER_LOST_AND_FOUND = [
    pytest.param(forge, rules, id=name)
    for name, forge, rules in [
        (
            "a fence that falls",
            lambda r: swap(7, fence=4)(swap(8, fence=4)(swap(9, fence=4)(row(fence=4)(r)))),
            {Rule.FENCE_NOT_GROWING},
        ),
        (
            "a fence that stays",
            lambda r: swap(7, fence=5)(swap(8, fence=5)(swap(9, fence=5)(row(fence=5)(r)))),
            {Rule.FENCE_NOT_GROWING},
        ),
        ("an unleased event under a lease", swap(6, lease_id=FIRST), {Rule.FOREIGN_LEASE}),
        (
            "an unknown outcome that is run again by itself",
            lambda r: swap(5, to_state="pending")(drop(6)(r)),
            {Rule.SEQ_GAP, Rule.WRONG_STEP},
        ),
        (
            "something but a retry after an abort",
            swap(10, kind=Kind.RESUMED),
            {Rule.AFTER_THE_END, Rule.ILLEGAL_TRANSITION},
        ),
    ]
]


def rules_broken(of: History) -> set[Rule]:
    return {finding.rule for finding in check_history(of)}


@pytest.mark.parametrize("right", [two_steps(), lost_and_found()])
def test_a_right_history_breaks_no_rule(right: History) -> None:
    assert list(check_history(right)) == []


@pytest.mark.parametrize(("forge", "rules"), AFTER_TWO_STEPS)
def test_what_was_forged_in_a_finished_run_is_found(forge: Forge, rules: set[Rule]) -> None:
    assert rules_broken(forge(two_steps())) == rules


@pytest.mark.parametrize(("forge", "rules"), AFTER_LOST_AND_FOUND)
def test_what_was_forged_in_a_run_of_two_leases_is_found(forge: Forge, rules: set[Rule]) -> None:
    assert rules_broken(forge(lost_and_found())) == rules


RESOLVED = [
    ("done", "finished", 0, "finished"),
    ("done", "pending", 1, "finished"),
    ("done", "aborted", 1, "finished"),
    ("run-again", "pending", 1, "unknown"),
    ("abort", "aborted", 0, "unknown"),
    (None, "finished", 0, "finished"),
    (None, "aborted", 1, "finished"),
    (None, "aborted", 0, "unknown"),
]
WRONGLY_RESOLVED = [
    ("run-again", "aborted", 0, "unknown", {Rule.OUTCOME_STATE}),
    ("abort", "pending", 1, "unknown", {Rule.OUTCOME_STATE}),
    ("abort", "finished", 0, "finished", {Rule.OUTCOME_STATE, Rule.RESULT_WITHOUT_REPORT}),
    ("perhaps", "pending", 1, "unknown", {Rule.OUTCOME_STATE}),
    ("abort", "aborted", 1, "unknown", {Rule.ROW_DISAGREES}),
    ("done", "aborted", 0, "finished", {Rule.ROW_DISAGREES}),
    ("run-again", "pending", 1, "finished", {Rule.RESULT_WITHOUT_REPORT}),
    ("done", "pending", 1, "unknown", {Rule.REPORT_WITHOUT_RESULT}),
]


@pytest.mark.parametrize(("as_", "to_state", "step_index", "stored"), RESOLVED)
def test_a_step_of_unknown_outcome_may_be_resolved(
    as_: str | None, to_state: str, step_index: int, stored: str
) -> None:
    right = resolved(as_, to_state, step_index=step_index, stored=stored)

    assert list(check_history(right)) == []


@pytest.mark.parametrize(("as_", "to_state", "step_index", "stored", "rules"), WRONGLY_RESOLVED)
def test_what_was_resolved_otherwise_than_it_says_is_found(
    as_: str | None, to_state: str, step_index: int, stored: str, rules: set[Rule]
) -> None:
    forged = resolved(as_, to_state, step_index=step_index, stored=stored)

    assert rules_broken(forged) == rules


def test_a_finding_names_the_run_the_event_and_no_whole_lease_id() -> None:
    (finding,) = check_history(swap(5, lease_id=SECOND)(two_steps()))

    assert str(finding).startswith(f"run {RUN_ID} event 5: reported under lease aaaaaaaa…")
    assert str(SECOND) not in str(finding)


def test_every_way_that_a_lease_ends_is_known() -> None:
    assert set(LEGAL) == {*Kind, *Ending}


GRANT = Grant("fleet", REQUEST_ID, RUN_ID, FIRST, True, "fleet", str(REQUEST_ID))


@pytest.mark.parametrize(
    ("changes", "found"),
    [
        ({}, []),
        ({"claimed_by": "strangers"}, [Rule.GRANT_DISAGREES]),
        ({"claimed_for": "another"}, [Rule.GRANT_DISAGREES]),
        ({"claimed_by": None, "claimed_for": None}, [Rule.GRANT_DISAGREES]),
        ({"claimed_by": None, "claimed_for": None, "run_exists": False}, []),
    ],
)
def test_a_request_got_what_the_ledger_says(changes: dict[str, Any], found: list[Rule]) -> None:
    assert [finding.rule for finding in check_grant(replace(GRANT, **changes))] == found
