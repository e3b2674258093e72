"""States of a run that the database refuses by itself, whoever writes them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from typing import Any

import psycopg
import pytest

from tests.database import Database
from tests.integration.raw_rows import IN_STATE, LEASE, THEN, change_run, insert_run

NO_LEASE: dict[str, Any] = dict.fromkeys(LEASE)
ANOTHER = "cccccccc-0000-4000-8000-000000000001"


@pytest.fixture(params=["owner", "service"])
def session(
    request: pytest.FixtureRequest, module_database: Database
) -> Iterator[psycopg.Connection]:
    """A transaction that is rolled back, as the owner and as the service."""
    urls = {"owner": module_database.owner_url, "service": module_database.service_url}
    with closing(psycopg.connect(urls[request.param])) as connection:
        yield connection
        connection.rollback()


@pytest.mark.parametrize(
    ("state", "columns", "refused_by"),
    [
        pytest.param(state, columns, refused_by, id=name)
        for name, state, columns, refused_by in [
            ("an unknown state", "pending", {"runState": "done"}, "state_known"),
            ("started without a lease", "started", NO_LEASE, "leased_state"),
            ("loading without a lease", "loading", NO_LEASE, "leased_state"),
            ("pending with a lease", "pending", LEASE, "leased_state"),
            ("a lease without an owner", "started", {"lockedBy": None}, "lease_whole"),
            ("a lease without a session", "started", {"lockedSession": None}, "lease_whole"),
            ("a lease that never expires", "started", {"leaseExpiresAt": None}, "lease_whole"),
            ("half a lease left behind", "pending", {"lockedBy": "fleet"}, "lease_whole"),
            ("mutating without a lease", "pending", {"mutatingSince": THEN}, "mutating_leased"),
            ("over without a time", "finished", {"finishedAt": None}, "over_finished_at"),
            ("live with a time of its end", "pending", {"finishedAt": THEN}, "over_finished_at"),
            ("output of a live run", "started", {"output": "{}"}, "output_finished"),
            ("output of a failed run", "failed", {"output": "{}"}, "output_finished"),
            ("failed without an error", "failed", {"error": None}, "failed_error"),
            ("waiting for nothing", "waiting", {"waitingFor": None}, "waiting_for"),
            ("pending and waiting", "pending", {"waitingFor": "{}"}, "waiting_for"),
            ("scheduled for never", "scheduled", {"availableAt": None}, "due_time"),
            ("a negative counter", "pending", {"failures": -1}, "counters"),
            ("a negative fence", "pending", {"fence": -1}, "counters"),
            ("a lease of no seconds", "started", {"leaseSeconds": 0}, "counters"),
            ("a version before the first", "pending", {"version": 0}, "counters"),
            ("a budget of nothing", "pending", {"maxFailures": 0}, "budgets"),
            ("priority 101", "pending", {"priority": 101}, "priority"),
            (
                "gated and not pending",
                "scheduled",
                {"concurrencyKey": "k", "gatedClaimKey": THEN, "claimKey": "infinity"},
                "gate_whole",
            ),
            (
                "gated without a key",
                "pending",
                {"gatedClaimKey": THEN, "claimKey": "infinity"},
                "gate_whole",
            ),
            ("gated and claimable", "scheduled", {"gatedClaimKey": THEN}, "gate_whole"),
            ("claimable at no time", "pending", {"claimKey": "infinity"}, "gate_whole"),
            ("priority -101", "pending", {"priority": -101}, "priority"),
        ]
    ],
)
def test_the_database_refuses(
    session: psycopg.Connection, state: str, columns: dict[str, Any], refused_by: str
) -> None:
    # Of several constraints that a row breaks Postgres names the first in the alphabet.
    with pytest.raises(psycopg.errors.CheckViolation) as refused:
        insert_run(session, state, **columns)

    assert refused.value.diag.constraint_name == f"workflowRuns_{refused_by}"


FINISHED = IN_STATE["finished"]
FAILED = IN_STATE["failed"]


@pytest.mark.parametrize(
    ("state", "changes", "refused_by"),
    [
        pytest.param(state, changes, refused_by, id=name)
        for name, state, changes, refused_by in [
            ("an edit of a finished run", "finished", {"output": "1"}, "over_is_final"),
            ("an edit of a failed run", "failed", {"error": "{}"}, "over_is_final"),
            (
                "finished and pending again",
                "finished",
                {"runState": "pending", "finishedAt": None},
                "over_is_final",
            ),
            (
                "failed and started again",
                "failed",
                {"runState": "started", "finishedAt": None, "fence": 6, **LEASE},
                "over_is_final",
            ),
            ("finished without a claim", "pending", FINISHED, "transition_legal"),
            ("failed without a claim", "pending", FAILED, "transition_legal"),
            (
                "started without loading",
                "pending",
                {"runState": "started", "fence": 6, **LEASE},
                "transition_legal",
            ),
            (
                "claimed before it is due",
                "scheduled",
                {"runState": "loading", "fence": 6, **LEASE},
                "transition_legal",
            ),
            ("loading again", "started", {"runState": "loading"}, "transition_legal"),
            (
                "started again by its input",
                "waiting",
                {"runState": "started", "waitingFor": None, "fence": 6, **LEASE},
                "transition_legal",
            ),
            ("a lease swapped", "started", {"leaseId": ANOTHER, "fence": 6}, "lease_not_swapped"),
            ("renewed to another owner", "started", {"lockedBy": "x"}, "lease_not_swapped"),
            (
                "renewed to another session",
                "started",
                {"lockedSession": ANOTHER},
                "lease_not_swapped",
            ),
            ("a fence that grows in a lease", "started", {"fence": 6}, "lease_not_swapped"),
            ("a fence that falls", "pending", {"fence": 4}, "fence_grows"),
            (
                "a lease without a higher fence",
                "pending",
                {"runState": "loading", **LEASE},
                "fence_grows",
            ),
            (
                "a change of state without an event",
                "pending",
                {**IN_STATE["aborted"], "version": 1},
                "version_grows",
            ),
            ("a version that falls", "started", {"version": 0}, "version_grows"),
            ("another queue", "pending", {"queue": "other"}, "identity_fixed"),
            ("another workflow", "pending", {"workflow": "other"}, "identity_fixed"),
            (
                "another concurrencyKey",
                "pending",
                {"concurrencyKey": "other"},
                "concurrency_key_fixed",
            ),
            ("another creator", "pending", {"createdBy": "other"}, "identity_fixed"),
            ("another idempotency key", "pending", {"idempotencyKey": "k"}, "identity_fixed"),
        ]
    ],
)
def test_the_database_refuses_the_change(
    session: psycopg.Connection, state: str, changes: dict[str, Any], refused_by: str
) -> None:
    insert_run(session, state)

    with pytest.raises(psycopg.errors.CheckViolation) as refused:
        change_run(session, **changes)

    assert refused.value.diag.constraint_name == f"workflowRuns_{refused_by}"


@pytest.mark.parametrize(
    ("state", "changes"),
    [
        ("scheduled", {"runState": "pending"}),
        ("pending", {"runState": "loading", "fence": 6, **LEASE}),
        ("loading", {"runState": "started"}),
        ("started", {"leaseExpiresAt": "2027-01-01", "version": 1}),
        ("started", {**FINISHED, **NO_LEASE, "output": "{}"}),
        ("started", {**FAILED, **NO_LEASE}),
        ("started", {"runState": "scheduled", **NO_LEASE}),
        ("started", {**IN_STATE["waiting"], **NO_LEASE}),
        ("waiting", {"runState": "loading", "waitingFor": None, "fence": 6, **LEASE}),
        ("failed", {"runState": "pending", "finishedAt": None, "error": None}),
        ("aborted", {"runState": "pending", "finishedAt": None}),
    ],
)
def test_the_database_lets_a_legal_change_pass(
    session: psycopg.Connection, state: str, changes: dict[str, Any]
) -> None:
    insert_run(session, state)

    change_run(session, **changes)
    (now,) = session.execute('SELECT "runState" FROM "workflowRuns"').fetchone() or (None,)

    assert now == changes.get("runState", state)
