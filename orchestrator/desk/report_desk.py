"""The report desk: stores outcomes, and answers a repeat from the ledger.

A batch is one transaction. One item whose values the database refuses never
fails its neighbours: the batch is repeated item by item.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from uuid import UUID

from sqlalchemy import Connection
from sqlalchemy.exc import DBAPIError

from orchestrator.errors import (
    DibsError,
    LeaseLost,
    OutcomeConflict,
    StepOutOfOrder,
    ValidationFailed,
)
from orchestrator.lifecycle import RunState
from orchestrator.store import claims, reports
from orchestrator.store.engine import Database
from orchestrator.store.records import Dispatch
from orchestrator.store.replication import vouch
from orchestrator.store.reports import Report
from orchestrator.store.transaction import transact

REFUSED = "refused"
CONTINUE = "continue"


@dataclass(frozen=True, slots=True)
class ReportAnswer:
    """
    What became of one report.

    Attributes:
        status: The run's state now, `continue` or `refused`.
        next: With `continue`: the next step, under the same lease.
        problem: Why it was refused.
    """

    run_id: UUID
    status: str
    replayed: bool = False
    problem: DibsError | None = None
    next: Dispatch | None = None


def report(database: Database, told: Sequence[Report]) -> list[ReportAnswer]:
    """
    Store outcomes, each on its own.

    Returns:
        An answer for each, in the order told.
    """
    answers: dict[int, ReportAnswer] = {}
    for batch in _rounds(told):
        answers |= _store(database, batch)
    return [answers[place] for place in range(len(told))]


def _rounds(told: Sequence[Report]) -> list[dict[int, Report]]:
    """Split so that no round has a run twice; a repeat in one batch is a replay."""
    rounds: list[dict[int, Report]] = []
    seen: dict[UUID, int] = {}
    for place, item in enumerate(told):
        number = seen.get(item.run_id, 0)
        seen[item.run_id] = number + 1
        if number == len(rounds):
            rounds.append({})
        rounds[number][place] = item
    return rounds


def _store(database: Database, batch: dict[int, Report]) -> dict[int, ReportAnswer]:
    try:
        return transact(database.leases, lambda connection: _report(connection, batch))
    except DBAPIError as error:
        # transact lets only an item's own fault (classes 22 and 23) through.
        if len(batch) == 1:
            ((place, item),) = batch.items()
            return {place: _refused(item, _cannot_be_stored(error))}
    answers: dict[int, ReportAnswer] = {}
    for place, item in batch.items():
        answers |= _store(database, {place: item})
    return answers


def _report(connection: Connection, batch: dict[int, Report]) -> dict[int, ReportAnswer]:
    places = list(batch)
    items = list(batch.values())
    done = reports.report(connection, items)
    chained = [one for one in done if one.run_state == RunState.STARTED]
    following = _dispatches(connection, [items[one.place] for one in chained])
    answers = {
        places[one.place]: _stored(one.run_id, one.run_state, following.get(one.run_id))
        for one in done
    }
    missed = {place: item for place, item in batch.items() if place not in answers}
    return answers | (_explain(connection, missed) if missed else {})


def _stored(
    run_id: UUID, run_state: str, following: Dispatch | None, *, replayed: bool = False
) -> ReportAnswer:
    if run_state == RunState.STARTED:
        return ReportAnswer(run_id, CONTINUE, replayed=replayed, next=following)
    return ReportAnswer(run_id, run_state, replayed=replayed)


def _explain(connection: Connection, missed: dict[int, Report]) -> dict[int, ReportAnswer]:
    """Answer what changed nothing: from the ledger, or with a refusal."""
    items = list(missed.values())
    ledger = {
        (line.run_id, line.lease_id, line.step_index): line
        for line in reports.stored(connection, items)
    }
    steps = reports.current_steps(connection, items)
    held = _dispatches(connection, [item for item in items if item.run_id in steps])
    if ledger:
        vouch(connection)
    answers: dict[int, ReportAnswer] = {}
    for place, item in missed.items():
        line = ledger.get((item.run_id, item.lease_id, item.step_index))
        if line is not None and line.outcome_hash == item.outcome_hash:
            answers[place] = _stored(
                item.run_id, line.run_state, held.get(item.run_id), replayed=True
            )
        else:
            answers[place] = _refused(
                item, _refusal(item, stored=line is not None, step=steps.get(item.run_id))
            )
    return answers


def _dispatches(connection: Connection, held: Sequence[Report]) -> dict[UUID, Dispatch]:
    """What the leases that these reports name are handed out for now, by run."""
    return (
        claims.held_dispatches(
            connection,
            run_ids=[item.run_id for item in held],
            lease_ids=[item.lease_id for item in held],
        )
        if held
        else {}
    )


def _refusal(item: Report, *, stored: bool, step: int | None) -> DibsError:
    if stored:
        return OutcomeConflict(
            f"Step {item.step_index} of run {item.run_id} has another outcome under this lease.",
            runId=str(item.run_id),
        )
    if step is not None and step != item.step_index:
        return StepOutOfOrder(
            f"Run {item.run_id} is at step {step}, not {item.step_index}.", runId=str(item.run_id)
        )
    return LeaseLost(item.run_id)


def _refused(item: Report, problem: DibsError) -> ReportAnswer:
    return ReportAnswer(item.run_id, REFUSED, problem=problem)


def _cannot_be_stored(error: DBAPIError) -> DibsError:
    # The database's own words may hold the row: only its kind is told.
    return ValidationFailed(
        [
            {
                "path": "/outcome",
                "message": f"the database cannot store this value ({type(error.orig).__name__})",
            }
        ]
    )
