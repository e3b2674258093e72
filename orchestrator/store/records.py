"""What statements return: plain frozen records with Python's names for the columns.

jsonb values are `orjson.Fragment`s: text as it stands, ready to go into an answer.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from datetime import datetime
from uuid import UUID

import orjson
from sqlalchemy import Row

from orchestrator.store.tables import columns, workflow_runs

Json = orjson.Fragment


@dataclass(frozen=True, slots=True)
class Run:
    """A row of `"workflowRuns"` without what only its holder may see, or nobody."""

    id: UUID
    workflow: str
    workflow_version: int | None
    queue: str
    step_queue: str
    run_state: str
    priority: int
    available_at: datetime | None
    step_index: int
    step_name: str
    step_type: str
    input: Json
    output: Json | None
    error: Json | None
    progress: Json | None
    attempt: int
    failures: int
    crashes: int
    max_failures: int
    max_crashes: int
    fence: int
    locked_by: str | None
    locked_at: datetime | None
    lease_expires_at: datetime | None
    mutating_since: datetime | None
    abort_requested_at: datetime | None
    waiting_for: Json | None
    dedup_key: str | None
    traceparent: str | None
    created_by: str
    created_at: datetime
    started_at: datetime | None
    finished_at: datetime | None
    version: int

    @property
    def waiting_reason(self) -> str | None:
        """What a waiting run waits for: input, or someone to say what happened."""
        if self.waiting_for is None:
            return None
        # A Fragment gives its text to orjson only.
        reason: str | None = orjson.loads(orjson.dumps(self.waiting_for)).get("reason")
        return reason


@dataclass(frozen=True, slots=True)
class Lease:
    """The right to execute one run until `expires_at`."""

    id: UUID
    fence: int
    expires_at: datetime
    seconds: int


@dataclass(frozen=True, slots=True)
class Dispatch:
    """What a claim hands out: the run, at its current step, under a lease."""

    run: Run
    lease: Lease
    resume_input: Json | None


RUN_FIELDS = tuple(field.name for field in fields(Run))
_NOT_A_RUN = frozenset(workflow_runs.columns.keys()) - set(RUN_FIELDS)


def run_columns(alias: str) -> str:
    """The select list that `run_of` reads."""
    return columns(workflow_runs, alias, but=_NOT_A_RUN)


def dispatch_columns(alias: str) -> str:
    """The select list that `dispatch_of` reads."""
    hidden = _NOT_A_RUN - {"lease_id", "lease_seconds", "resume_input"}
    return columns(workflow_runs, alias, but=hidden)


def run_of(row: Row[tuple[object, ...]]) -> Run:
    values = row._mapping  # noqa: SLF001 - the documented name of a row's mapping
    return Run(**{name: values[name] for name in RUN_FIELDS})


def dispatch_of(row: Row[tuple[object, ...]]) -> Dispatch:
    return Dispatch(
        run=run_of(row),
        lease=Lease(
            id=row.lease_id,
            fence=row.fence,
            expires_at=row.lease_expires_at,
            seconds=row.lease_seconds,
        ),
        resume_input=row.resume_input,
    )
