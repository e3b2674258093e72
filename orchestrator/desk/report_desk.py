"""The report desk: stores outcomes, and answers a repeat from the ledger.

What comes at the same time is stored in one transaction. One item whose values the
database refuses never fails its neighbours: then each request is repeated by
itself, and item by item. Nor does it hold them up: a run whose row is locked is
left for its own request to wait for.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple, TypeVar
from uuid import UUID

from sqlalchemy import Connection
from sqlalchemy.exc import DBAPIError

from orchestrator.desk.arrivals import arrivals
from orchestrator.desk.gathering import Gathering
from orchestrator.desk.report_rounds import MOST_ROUNDS, rounds
from orchestrator.errors import (
    DibsError,
    LeaseLost,
    OutcomeConflict,
    StepOutOfOrder,
    ValidationFailed,
)
from orchestrator.lifecycle import RunState
from orchestrator.metrics.catalogue import Desk
from orchestrator.store import claims, reports
from orchestrator.store.activity import Counted
from orchestrator.store.engine import Database
from orchestrator.store.records import Dispatch
from orchestrator.store.replication import vouch
from orchestrator.store.reports import Report
from orchestrator.store.tally import OTHERS, Happened, reported
from orchestrator.store.transaction import transact

# Reports that are stored in one transaction; beyond, it would keep others waiting.
REPORTS_AT_ONCE = 1_000

REFUSED = "refused"
REPLAYED = "replayed"
CONTINUE = "continue"


class ReportAnswer(NamedTuple):
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


Batch = Mapping[int, Report]
"""Reports by their place in the request; no run occurs twice."""

Place = TypeVar("Place")
"""What tells the reports of a transaction apart: a place, or a request's number and a place."""


class ReportDesk:
    """One process's desk for reports."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._gathering: Gathering[Batch, dict[int, ReportAnswer]] = Gathering(
            self._store_together,
            self._store,
            weight=len,
            capacity=REPORTS_AT_ONCE,
            note=database.metrics.gathered[Desk.REPORTS].note,
        )

    def report(self, told: Sequence[Report]) -> list[ReportAnswer]:
        """
        Store outcomes, each on its own.

        Returns:
            An answer for each, in the order told. A copy of one before it is a replay; of
            one run no more are judged than there are rounds.
        """
        split = rounds(told)
        answers = {place: _refused(told[place], _too_many()) for place in split.beyond}
        for batch in split.batches:
            stored = self._gathering.ask(batch)
            left = {place: item for place, item in batch.items() if place not in stored}
            answers |= stored | (self._store(left) if left else {})
        for place, original in split.copies.items():
            answer = answers[original]
            answers[place] = answer._replace(replayed=answer.problem is None)
        self._count(told, answers)
        return [answers[place] for place in range(len(told))]

    def _count(self, told: Sequence[Report], answers: Mapping[int, ReportAnswer]) -> None:
        counted: dict[tuple[str, str], int] = {}
        for place, item in enumerate(told):
            answer = answers[place]
            key = (item.status, REPLAYED if answer.replayed else answer.status)
            counted[key] = counted.get(key, 0) + 1
        for key, number in counted.items():
            self._database.metrics.reports[key].add(number)

    def _store_together(
        self, batches: Sequence[Batch], committing: Callable[[], None]
    ) -> list[dict[int, ReportAnswer]]:
        """
        Store the reports of several requests in one transaction.

        Returns:
            Answers for each request; what would have had to wait for a row, or for another
            report of the same run, is left out.
        """
        runs: set[UUID] = set()
        items: dict[tuple[int, int], Report] = {}
        for number, batch in enumerate(batches):
            for place, item in batch.items():
                if item.run_id not in runs:
                    runs.add(item.run_id)
                    items[number, place] = item
        answers, happened, arrived = transact(
            self._database.leases,
            lambda connection: self._report(connection, items, skip_locked=True),
            # What was sent and not answered is waited for.
            look_up=lambda connection: self._report(connection, items),
            committing=committing,
        )
        self._note(items, answers, happened)
        self._database.arrived(arrived)
        sorted_out: list[dict[int, ReportAnswer]] = [{} for _ in batches]
        for (number, place), answer in answers.items():
            sorted_out[number][place] = answer
        return sorted_out

    def _store(self, batch: Batch) -> dict[int, ReportAnswer]:
        """Store the reports of one request, whatever they have to wait for."""
        try:
            answers, happened, arrived = transact(
                self._database.leases, lambda connection: self._report(connection, batch)
            )
        except DBAPIError as error:
            # transact lets only an item's own fault (classes 22 and 23) through.
            if len(batch) == 1:
                ((place, item),) = batch.items()
                return {place: _refused(item, _cannot_be_stored(error))}
            answers = {}
            for place, item in batch.items():
                answers |= self._store({place: item})
            return answers
        self._note(batch, answers, happened)
        self._database.arrived(arrived)
        return answers

    def _report(
        self, connection: Connection, batch: Mapping[Place, Report], *, skip_locked: bool = False
    ) -> tuple[dict[Place, ReportAnswer], Happened, Mapping[str, int]]:
        """
        Answers by place, what happened with that, and what has become claimable.

        Args:
            skip_locked: Leave out the runs whose rows another transaction holds.
        """
        places = list(batch)
        items = list(batch.values())
        done = reports.report(connection, items, skip_locked=skip_locked)
        chained = [one for one in done if one.run_state == RunState.STARTED]
        following = _dispatches(connection, [items[one.place] for one in chained])
        answers = {
            places[one.place]: _stored(one.run_id, one.run_state, following.get(one.run_id))
            for one in done
        }
        missed = {place: item for place, item in batch.items() if place not in answers}
        explained = _explain(connection, missed, skip_locked) if missed else {}
        arrived = arrivals(connection, done, briefly=skip_locked)
        happened = reported(
            [(items[one.place].status, one.run_state, one.held_queue) for one in done]
        )
        return answers | explained, happened, arrived + self._database.limits.freed(done)

    def _note(
        self,
        told: Mapping[Place, Report],
        answers: Mapping[Place, ReportAnswer],
        happened: Happened,
    ) -> None:
        """Count what is committed now, and who was refused."""
        tally = self._database.tally
        tally.add(happened)
        for place, answer in answers.items():
            if answer.problem is not None:
                item = told[place]
                tally.refuse(
                    item.run_id,
                    answer.problem.code,
                    executor=item.token_name,
                    lease_id=item.lease_id,
                )
            elif answer.replayed:
                # Of which queue the run is, nobody has looked up for this.
                tally.count(Counted.REPLAYED, OTHERS)


def _stored(
    run_id: UUID, run_state: str, following: Dispatch | None, *, replayed: bool = False
) -> ReportAnswer:
    if run_state == RunState.STARTED:
        return ReportAnswer(run_id, CONTINUE, replayed=replayed, next=following)
    return ReportAnswer(run_id, run_state, replayed=replayed)


def _explain(
    connection: Connection, missed: Mapping[Place, Report], skip_locked: bool
) -> dict[Place, ReportAnswer]:
    """Answer what changed nothing: from the ledger, or with a refusal."""
    items = list(missed.values())
    # In this order: when a lease is seen gone, the report that ended it is in the ledger.
    steps = reports.current_steps(connection, items)
    ledger = {
        (line.run_id, line.lease_id, line.step_index): line
        for line in reports.stored(connection, items)
    }
    held = _dispatches(connection, [item for item in items if item.run_id in steps])
    if ledger:
        vouch(connection)
    answers: dict[Place, ReportAnswer] = {}
    for place, item in missed.items():
        line = ledger.get((item.run_id, item.lease_id, item.step_index))
        if line is not None and line.outcome_hash == item.outcome_hash:
            answers[place] = _stored(
                item.run_id, line.run_state, held.get(item.run_id), replayed=True
            )
        elif line is not None or not skip_locked or steps.get(item.run_id) != item.step_index:
            # Else nothing is in its way but a lock.
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


def _too_many() -> DibsError:
    message = f"is of a run of which this request has more than {MOST_ROUNDS} other reports"
    return ValidationFailed([{"path": "/runId", "message": message}])
