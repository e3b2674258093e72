"""Orchestrators beside each other on one database, and a load that all of them serve."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path

import psycopg

from orchestrator.lifecycle import Role
from tests.acceptance.processes import Orchestrator
from tests.acceptance.stage import make_token
from tests.acceptance.waiting import eventually
from tests.chaos.fault import Fault
from tests.chaos.history import History
from tests.chaos.logged_load import LoggedLoad
from tests.database import Database
from tests.ledger import check_ledgers

COUNT = 2


class TwoOrchestrators:
    """Two orchestrators that serve one database."""

    def __init__(self, database: Database, urls: list[str], directory: Path) -> None:
        self.database = database
        self._urls = urls
        self._directory = directory
        self._tokens = {role: make_token(database, role.value, role) for role in Role}

    def load(self, queue: str) -> LoggedLoad:
        """Clients for both, in a queue of their own; they do nothing yet."""
        history = History(self._directory / f"{queue}.jsonl")
        return LoggedLoad(queue, self._urls, self._tokens, history)

    def everything_is_there(self, load: LoggedLoad, fault: Fault) -> None:
        """
        Hold the database to what its clients were told, and to one outcome for each run.

        Raises:
            AssertionError: Something is missing, was done twice, or was answered by another error.
        """
        exchanges = load.history.exchanges()
        statuses = {one.status for one in exchanges}
        with closing(psycopg.connect(self.database.owner_url, autocommit=True)) as owner:
            check_ledgers(owner, load.history.path)
            rows = owner.execute(
                """
                SELECT kind, count(*) FROM "runEvents" e JOIN "workflowRuns" r ON r.id = e."runId"
                 WHERE r.queue = %s GROUP BY kind
                """,
                [load.queue],
            )
            done = dict(rows.fetchall())

        runs = done["created"]
        fault.core(runs=runs, answered_500=sum(one.status == 500 for one in exchanges))
        assert statuses <= {200, 201, 503}
        assert done == dict.fromkeys(("created", "claimed", "reported"), runs)


@contextmanager
def two_orchestrators(database: Database, directory: Path) -> Iterator[TwoOrchestrators]:
    """They end with the block."""
    with ExitStack() as stack:
        started = [
            Orchestrator(f"orchestrator-{number}", database.service_url, directory)
            for number in range(COUNT)
        ]
        for orchestrator in started:
            stack.callback(orchestrator.end)
            orchestrator.launch()
        for orchestrator in started:
            eventually(orchestrator.is_ready, what=f"{orchestrator.name} is ready")
        yield TwoOrchestrators(database, [each.url for each in started], directory)
