"""What statements return: plain frozen records with Python's names for the columns.

jsonb values are `orjson.Fragment`s: text as it stands, ready to go into an answer.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from functools import cache
from typing import Any, NamedTuple, cast
from uuid import UUID

import orjson

from orchestrator.store.tables import columns, workflow_runs

Json = orjson.Fragment


class Run(NamedTuple):
    """
    A row of `"workflowRuns"` without what only its holder may see, or nobody.

    In the order of the table's columns: it is made of a row as it comes.
    """

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
    concurrency_key: str | None
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


class Lease(NamedTuple):
    """The right to execute one run until `expires_at`."""

    id: UUID
    fence: int
    expires_at: datetime
    seconds: int


class Dispatch(NamedTuple):
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


RUN_FIELDS = Run._fields

_ALL_FIELDS = frozenset(workflow_runs.columns.keys())
_OF_A_DISPATCH = frozenset({"resume_input", "lease_id", "lease_seconds"})
_OF_A_STEP = ("params", "mutating", "timeout_seconds")
_RUN_WIDTH = len(RUN_FIELDS)
_DISPATCH_WIDTH = _RUN_WIDTH + len(_OF_A_DISPATCH) + len(_OF_A_STEP)


@cache
def run_columns(alias: str) -> str:
    """The select list that `run_of` reads; more may come after it."""
    return columns(workflow_runs, alias, but=_ALL_FIELDS - set(RUN_FIELDS))


@cache
def dispatch_columns(alias: str) -> str:
    """
    The select list that `dispatch_of` reads; more may come before it.

    Its source is `with_definition(…, alias)`.
    """
    return f"""{run_columns(alias)},
  {columns(workflow_runs, alias, but=_ALL_FIELDS - _OF_A_DISPATCH)},
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


def run_of(row: Sequence[Any]) -> Run:
    return Run._make(row[:_RUN_WIDTH])


def dispatch_of(row: Sequence[Any]) -> Dispatch:
    values = row[-_DISPATCH_WIDTH:]
    run = Run._make(values[:_RUN_WIDTH])
    resume_input, lease_id, seconds, params, mutating, timeout_seconds = values[_RUN_WIDTH:]
    return Dispatch(
        run=run,
        # Every dispatch has been leased: it has an expiry.
        lease=Lease(lease_id, run.fence, cast(datetime, run.lease_expires_at), seconds),
        resume_input=resume_input,
        params=params,
        mutating=mutating,
        timeout_seconds=timeout_seconds,
    )
