"""Where the machine works: two orchestrators on one database, either of which may be replaced."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Sequence
from contextlib import closing
from datetime import UTC, datetime
from functools import partial
from typing import Any
from uuid import UUID

import psycopg
from sqlalchemy import Connection

from orchestrator.audit.history import History
from orchestrator.audit.rules import check_history
from orchestrator.lifecycle import Role
from orchestrator.minting import mint
from orchestrator.store import audit, endings, keeper
from orchestrator.store.engine import open_engine
from orchestrator.store.transaction import transact
from tests.database import Database
from tests.integration.face import Face, Json

# Somebody else who claims, with a token of his own.
STRANGER = "stranger"

Duty = Callable[..., Sequence[object]]


class Place:
    """Whoever speaks here is answered by one orchestrator, and by the other the next time."""

    def __init__(self, database: Database, owner: psycopg.Connection):
        self._database = database
        first = Face(database, owner)
        self._faces = [first, Face(database, owner, tokens=first.tokens)]
        self._turns = itertools.count()
        self._engine = open_engine(database.owner_url, connections=1, name="machine")
        with self._engine.begin() as connection:
            stranger = mint(connection, name=STRANGER, role=Role.EXECUTOR)
        self._executors = {"executor": first.tokens[Role.EXECUTOR], STRANGER: stranger}

    def close(self) -> None:
        self._engine.dispose()
        for face in self._faces:
            face.close()

    @property
    def face(self) -> Face:
        return self._faces[next(self._turns) % len(self._faces)]

    def bearer(self, token: str) -> dict[str, str]:
        """The header of a request that is sent with this executor's token."""
        return {"Authorization": f"Bearer {self._executors[token]}"}

    def restart(self, number: int) -> None:
        """Let one orchestrator's process have been replaced: what it knew is gone."""
        old = self._faces[number]
        with closing(old):
            self._faces[number] = Face(self._database, old.owner, tokens=old.tokens)

    # Time, and the keeper with its own functions, on one run at a time.

    def wake_keeper(self) -> None:
        self.face.sql('UPDATE keeper SET "lastTickAt" = clock_timestamp()')

    def expire(self, run_id: str) -> None:
        """The keeper looks whether the run's lease has expired."""
        self._duty(partial(endings.expire, since=datetime.now(UTC)), run_id)
        self.forgive()

    def forgive(self) -> None:
        """Let no executor be on its way into quarantine."""
        self.face.sql("DELETE FROM incidents")

    def wake(self, run_id: str) -> None:
        """The keeper looks whether what the run waits for in time has come."""
        self._duty(keeper.make_due, run_id)
        self._duty(keeper.time_out_waits, run_id)

    def _duty(self, duty: Duty, run_id: str) -> None:
        def work(connection: Connection) -> Sequence[object]:
            return duty(connection, limit=1, only=UUID(run_id))

        self.wake_keeper()
        transact(self.face.services.database.leases, work)

    # What is stored.

    def rows(self, run_ids: Iterable[str]) -> dict[str, Json]:
        """These runs with every column."""
        rows = self.face.sql('SELECT * FROM "workflowRuns" WHERE id = ANY (%s)', list(run_ids))
        return {str(row["id"]): row for row in rows}

    def results(self, run_ids: Iterable[str]) -> dict[str, dict[int, tuple[str, Any]]]:
        """The finished steps of these runs: name and output, by index."""
        steps = self.face.sql(
            'SELECT "runId", "stepIndex", name, output FROM "workflowSteps"'
            """ WHERE "runId" = ANY (%s) AND state = 'finished'""",
            list(run_ids),
        )
        results: dict[str, dict[int, tuple[str, Any]]] = {}
        for step in steps:
            of_run = results.setdefault(str(step["runId"]), {})
            of_run[step["stepIndex"]] = (step["name"], step["output"])
        return results

    def histories(self, run_ids: Iterable[str]) -> list[History]:
        """What the audit sees of these runs, after it has found nothing wrong with them."""
        with audit.moment(self._engine) as connection:
            histories = audit.histories_of(connection, [UUID(each) for each in run_ids])
        for history in histories:
            assert list(check_history(history)) == []
        return histories
