"""Reports of the adapter's executors: by the number of a run and of its step.

They name no lease. The one that counts is the lease under which this executor was handed
the run and still holds it, at the step that it names; else the one under which it has
reported that step, so that the same outcome gets the stored answer.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final
from uuid import UUID

import orjson
from sqlalchemy import Connection

from orchestrator.desk.compat_claims import Handed, go_on, members_of
from orchestrator.desk.compat_executors import Asker
from orchestrator.desk.compat_steps import chosen_step
from orchestrator.desk.report_desk import ReportDesk
from orchestrator.errors import LeaseLost, OutcomeConflict, RunNotFound
from orchestrator.lifecycle import covers
from orchestrator.store import compat_runs
from orchestrator.store.compat_runs import Numbered
from orchestrator.store.engine import Database
from orchestrator.store.records import Dispatch, Json, text_of
from orchestrator.store.reports import Report
from orchestrator.store.transaction import transact

ERROR: Final = "error"


@dataclass(frozen=True, slots=True)
class Told:
    """
    What an executor tells of one step.

    Attributes:
        status: success, error or awaiting-input.
        outcome_hash: Tells a repeat from another outcome.
        option: What was selected, of a success.
        output, waiting_for: JSON text.
    """

    number: int
    step_index: int
    status: str
    outcome_hash: bytes
    option: str | None = None
    output: str | None = None
    message: str | None = None
    waiting_for: str | None = None


def report(database: Database, report_desk: ReportDesk, asker: Asker, told: Told) -> Handed | None:
    """
    Store an outcome; an error is never tried again by itself.

    Returns:
        The next step, when the executor goes on with it under the same lease.

    Raises:
        RunNotFound: No run of its queues, or that it was handed, has this number.
        LeaseLost, StepOutOfOrder: The step is not this executor's now.
        OutcomeConflict: It has reported another outcome of it, or selected what leads nowhere.
    """
    run, lease_id = transact(
        database.leases, lambda connection: _held_or_reported(connection, asker, told)
    )
    if lease_id is None:
        raise LeaseLost(run.run_id)
    is_at_the_step = run.lease_id is not None and run.step_index == told.step_index
    [answer] = report_desk.report(
        [
            Report(
                token_name=asker.name,
                run_id=run.run_id,
                lease_id=lease_id,
                step_index=told.step_index,
                status=told.status,
                outcome_hash=told.outcome_hash,
                output=told.output,
                message=told.message,
                retryable=False if told.status == ERROR else None,
                waiting_for=told.waiting_for,
                request_id=asker.request_id,
                next_step=_next_step(run, told) if is_at_the_step else None,
                chain=True,
            )
        ]
    )
    if answer.problem is not None:
        raise answer.problem
    if answer.next is None or (answer.replayed and _is_under_way(answer.next, told)):
        return None
    return go_on(database, told.number, answer.next, anew=not answer.replayed)


def _is_under_way(following: Dispatch, told: Told) -> bool:
    """Whether the executor has gone on already, so that a late copy is to end there."""
    run = following.run
    return run.step_index != told.step_index + 1 or run.mutating_since is not None


def _held_or_reported(
    connection: Connection, asker: Asker, told: Told
) -> tuple[Numbered, UUID | None]:
    """The run, and the lease that this report counts under; None: it counts under none."""
    run = compat_runs.find(connection, told.number, token_name=asker.name)
    if run is None:
        raise RunNotFound
    if run.lease_id is not None and run.step_index == told.step_index:
        # Whoever was refused the step under an older lease says that it has failed there.
        is_stale = told.status == ERROR and compat_runs.was_refused(connection, told.number)
        return run, None if is_stale else run.lease_id
    reported = compat_runs.lease_that_reported(
        connection, run.run_id, token_name=asker.name, step_index=told.step_index
    )
    # What was handed to it counts also when only the step, not its run, is of its queues.
    if reported is None and run.lease_id is None and not covers(asker.queues, run.queue):
        raise RunNotFound
    return run, reported or run.lease_id


def _next_step(run: Numbered, told: Told) -> str | None:
    try:
        return chosen_step(members_of(run.params), _names(run.offered), told.option)
    except LookupError:
        raise OutcomeConflict(
            f"The option {told.option!r} of step {told.step_index} leads to none of the steps"
            f" that may follow.",
            runId=str(run.run_id),
        ) from None


def _names(offered: Json | None) -> list[str]:
    return [] if offered is None else orjson.loads(text_of(offered))
