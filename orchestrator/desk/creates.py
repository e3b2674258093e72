"""Creates: a run is made once for each key, and a repeat gets the one that was made."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import Connection

from orchestrator.errors import DibsError, IdempotencyKeyReused, Overloaded, RunAlreadyActive
from orchestrator.store import runs
from orchestrator.store.engine import Database
from orchestrator.store.records import Run
from orchestrator.store.replication import vouch
from orchestrator.store.runs import NewRun
from orchestrator.store.transaction import transact

TRIES = 3


@dataclass(frozen=True, slots=True)
class Wanted:
    """A run to create; `return_active`: a live run with its dedupKey is as good."""

    run: NewRun
    return_active: bool


@dataclass(frozen=True, slots=True)
class Created:
    """The run, and whether this call made it."""

    run: Run
    created: bool


class _Vanished(Exception):
    """What was in the way of a run is gone: nothing was written, try again."""


def create(database: Database, wanted: Sequence[Wanted]) -> list[Created]:
    """
    Create runs, all or none.

    Returns:
        One for each, in the order given.

    Raises:
        IdempotencyKeyReused: A key belongs to another body; `index` says whose.
        RunAlreadyActive: A live run has the same queue, workflow and dedupKey;
            `runId` names it, `index` the wish.
    """
    for _ in range(TRIES):
        try:
            return transact(database.work, lambda connection: _create(connection, wanted))
        except _Vanished:
            continue
    raise Overloaded("Other runs with the same key came and went meanwhile.", retry_after_seconds=1)


def _create(connection: Connection, wanted: Sequence[Wanted]) -> list[Created]:
    made = {run.id: run for run in runs.create(connection, [wish.run for wish in wanted])}
    answers: list[Created] = []
    for index, wish in enumerate(wanted):
        run = made.get(wish.run.id)
        if run is not None:
            answers.append(Created(run, created=True))
            continue
        try:
            answers.append(_existing(connection, wish))
        except DibsError as refusal:
            refusal.members["index"] = index
            raise
    return answers


def _existing(connection: Connection, wish: Wanted) -> Created:
    """What was in the way of a run: itself, when its COMMIT was not answered, or another."""
    new = wish.run
    vouch(connection)
    own = runs.find(connection, new.id)
    if own is not None:
        return Created(own, created=True)
    if new.idempotency_key is not None:
        keyed = runs.find_by_idempotency_key(connection, new.created_by, new.idempotency_key)
        if keyed is not None:
            if keyed.request_hash != new.request_hash:
                raise IdempotencyKeyReused(
                    f"The Idempotency-Key made run {keyed.run.id} from another body.",
                    runId=str(keyed.run.id),
                )
            return Created(keyed.run, created=False)
    if new.dedup_key is not None:
        live = runs.find_live_by_dedup_key(
            connection, queue=new.queue, workflow=new.workflow, dedup_key=new.dedup_key
        )
        if live is not None:
            if wish.return_active:
                return Created(live, created=False)
            raise RunAlreadyActive(
                f"Run {live.id} is {live.run_state} with this dedupKey.",
                runId=str(live.id),
                runState=live.run_state,
            )
    raise _Vanished
