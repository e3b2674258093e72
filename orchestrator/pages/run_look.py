"""One look at a run: all that its page shows, read in one transaction."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final
from uuid import UUID

import orjson
from sqlalchemy import Connection

from orchestrator.desk.visibility import visible_run
from orchestrator.errors import RunNotFound
from orchestrator.store import workflows
from orchestrator.store.engine import Database
from orchestrator.store.events import Event, newest_events
from orchestrator.store.excerpts import (
    PayloadExcerpts,
    StepExcerpt,
    payload_excerpts,
    step_excerpts,
)
from orchestrator.store.records import Run, text_of
from orchestrator.store.refusals import RunRefusals, refusals_of
from orchestrator.store.transaction import transact

# What one look at a run costs at most; the API has all of it.
PAYLOAD_CHARACTERS: Final = 16_384
STEPS_SHOWN: Final = 50
EVENTS_SHOWN: Final = 200


@dataclass(frozen=True, slots=True)
class Seen:
    """
    A run at one look; of what is cut, one more than is shown tells that there is more.

    Attributes:
        following: The steps that its current one may be followed by.
    """

    run: Run
    payloads: PayloadExcerpts
    steps: list[StepExcerpt]
    events: list[Event]
    refusals: RunRefusals
    following: tuple[str, ...]


def look_at_run(database: Database, run_id: UUID, queue_patterns: tuple[str, ...]) -> Seen:
    """
    A run of these queues.

    Raises:
        RunNotFound: There is no such run, or it is of another queue.
    """

    def look(connection: Connection) -> Seen:
        run = visible_run(connection, run_id, queue_patterns)
        payloads = payload_excerpts(connection, run.id, characters=PAYLOAD_CHARACTERS + 1)
        if payloads is None:
            raise RunNotFound
        steps = step_excerpts(
            connection, run.id, limit=STEPS_SHOWN + 1, characters=PAYLOAD_CHARACTERS + 1
        )
        events = newest_events(connection, run.id, limit=EVENTS_SHOWN + 1)
        refusals = refusals_of(connection, run.id)
        return Seen(run, payloads, steps, events, refusals, _following(connection, run))

    return transact(database.work, look)


def _following(connection: Connection, run: Run) -> tuple[str, ...]:
    # Only whoever resolves it chooses; everybody else is spared the definition.
    if run.waiting_for is None or run.workflow_version is None:
        return ()
    found = workflows.find(connection, run.workflow, version=run.workflow_version)
    steps = [] if found is None else orjson.loads(text_of(found.definition))["steps"]
    return tuple(
        following for step in steps if step["name"] == run.step_name for following in step["next"]
    )
