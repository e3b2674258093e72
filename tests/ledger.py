"""What must be true of every run's ledger, whatever happened to the run."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from uuid import UUID

import psycopg
from psycopg.rows import class_row

OVER = {"finished", "failed", "aborted"}
LEASED = {"loading", "started"}
LEGAL = {
    (None, "scheduled"),
    (None, "pending"),
    ("scheduled", "pending"),
    ("scheduled", "aborted"),
    ("pending", "loading"),
    ("pending", "aborted"),
    # A request to abort is an event of a held run that leaves its state alone.
    ("loading", "loading"),
    *(("loading", to) for to in ("started", "pending", "scheduled", "waiting", *OVER)),
    *(("started", to) for to in ("started", "pending", "scheduled", "waiting", *OVER)),
    *(("waiting", to) for to in ("pending", *OVER)),
    ("failed", "pending"),
    ("aborted", "pending"),
}


@dataclass(frozen=True)
class Stand:
    """A run as it is now."""

    id: UUID
    state: str
    lease_id: UUID | None
    fence: int
    version: int


@dataclass(frozen=True)
class Line:
    """One event of a run."""

    run_id: UUID
    seq: int
    kind: str
    from_state: str | None
    to_state: str
    lease_id: UUID | None
    fence: int | None


def check_ledgers(connection: psycopg.Connection) -> None:
    """Check every run of a database against its events."""
    runs = (
        connection.cursor(row_factory=class_row(Stand))
        .execute(
            'SELECT id, "runState" AS state, "leaseId" AS lease_id, fence, version'
            ' FROM "workflowRuns"'
        )
        .fetchall()
    )
    lines: dict[UUID, list[Line]] = {run.id: [] for run in runs}
    for line in connection.cursor(row_factory=class_row(Line)).execute(
        'SELECT "runId" AS run_id, seq, kind, "fromState" AS from_state, "toState" AS to_state,'
        ' "leaseId" AS lease_id, fence FROM "runEvents" ORDER BY "runId", seq'
    ):
        lines[line.run_id].append(line)
    for run in runs:
        check_ledger(run, lines[run.id])


def check_ledger(run: Stand, lines: Sequence[Line]) -> None:
    """
    Check one run against its events, oldest first.

    They are numbered without a gap up to the run's version. Each begins in the
    state where the one before ended, and every change is a legal one. Leases
    follow one another, each with a higher fence. Nothing follows the end but an
    operator's retry.
    """
    assert [line.seq for line in lines] == list(range(1, run.version + 1))

    state: str | None = None
    lease_id: UUID | None = None
    fence = 0
    for line in lines:
        assert line.from_state == state, line
        assert (line.from_state, line.to_state) in LEGAL, line
        assert state not in OVER or line.kind == "retried", line
        if line.kind == "claimed":
            assert lease_id is None, f"claimed while another lease lives: {line}"
            assert line.lease_id is not None, line
            assert line.fence is not None, line
            assert line.fence > fence, f"a fence that does not grow: {line}"
            lease_id, fence = line.lease_id, line.fence
        else:
            assert line.lease_id == lease_id, line
            assert line.fence == (fence if lease_id else None), line
        state = line.to_state
        if state not in LEASED:
            lease_id = None
    assert (state, lease_id, fence) == (run.state, run.lease_id, run.fence)
