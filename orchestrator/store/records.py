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
        reason: str | None = orjson.loads(text_of(self.waiting_for)).get("reason")
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
    """
    What a claim hands out: the run, at its current step, under a lease.

    Attributes:
        resume_input: What resumed the step; None when it was not resumed.
        params: The step's own, from its definition.
        outputs: Outputs of the earlier steps it uses, by name; None for none.
    """

    run: Run
    lease: Lease
    resume_input: Json | None
    params: Json | None
    mutating: bool
    timeout_seconds: float | None
    outputs: Json | None = None


def text_of(value: Json) -> str:
    """A jsonb value as the text that it came as; a Fragment gives it to orjson only."""
    return orjson.dumps(value).decode()


RUN_FIELDS = tuple(field.name for field in fields(Run))
_NOT_A_RUN = frozenset(workflow_runs.columns.keys()) - set(RUN_FIELDS)


def run_columns(alias: str) -> str:
    """The select list that `run_of` reads."""
    return columns(workflow_runs, alias, but=_NOT_A_RUN)


def dispatch_columns(alias: str) -> str:
    """The select list that `dispatch_of` reads; its source is `with_definition(…, alias)`."""
    hidden = _NOT_A_RUN - {"lease_id", "lease_seconds", "resume_input"}
    return f"""{columns(workflow_runs, alias, but=hidden)},
  step_definition->'params' AS params,
  coalesce((step_definition->>'mutating')::boolean, false) AS mutating,
  (step_definition->>'timeoutSeconds')::double precision AS timeout_seconds"""


def with_definition(source: str, alias: str) -> str:
    """
    A FROM item: runs, each beside the definition of its current step.

    A version is immutable and a run is pinned to one, so the join is never old.
    """
    return f"""{source} {alias}
  LEFT JOIN workflows {alias}_w
    ON {alias}_w.name = {alias}.workflow AND {alias}_w.version = {alias}."workflowVersion"
 CROSS JOIN LATERAL (SELECT {alias}_w.steps->{alias}."stepName") AS {alias}_s(step_definition)"""


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
        params=row.params,
        mutating=row.mutating,
        timeout_seconds=row.timeout_seconds,
    )
