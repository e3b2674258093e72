"""One orchestrator on one database, asked through its desks as the views ask them."""

import secrets
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from uuid import UUID, uuid4

from orchestrator.api.context import Services, services_of
from orchestrator.app import create_app
from orchestrator.desk.claim_batch import Wish
from orchestrator.settings import load
from orchestrator.store.records import Dispatch
from orchestrator.store.reports import Report
from tests.bench.backlog import QUEUE
from tests.bench.failure import BenchError
from tests.bench.flat.history import EXECUTOR, TOKEN_NAME

# Longer than the bench: no lease expires.
LEASE_SECONDS = 3_600


@dataclass(frozen=True)
class Side:
    """Who claims and reports on one of the databases."""

    services: Services
    owner_url: str
    session: UUID = field(default_factory=uuid4)

    def claim(self, limit: int = 1) -> Sequence[Dispatch]:
        """
        Claim as many runs as that.

        Raises:
            BenchError: There were fewer.
        """
        dispatches = self.services.claim_desk.claim(
            Wish(
                token_name=TOKEN_NAME,
                executor=EXECUTOR,
                session=self.session,
                request_id=uuid4(),
                body_hash=bytes(32),
                queues=(QUEUE,),
                limit=limit,
                lease_seconds=LEASE_SECONDS,
                wait_seconds=0,
            )
        ).dispatches
        if len(dispatches) != limit:
            raise BenchError(f"a claim of {limit} runs got {len(dispatches)}")
        return dispatches

    @contextmanager
    def keeping(self) -> Iterator[None]:
        """With its keeper at work."""
        self.services.keeper.start()
        try:
            yield
        finally:
            self.services.keeper.stop()

    def report(self, dispatches: Sequence[Dispatch]) -> None:
        """
        Report that they succeeded.

        Raises:
            BenchError: A report was refused.
        """
        reports = [
            Report(
                token_name=TOKEN_NAME,
                run_id=dispatch.run.id,
                lease_id=dispatch.lease.id,
                step_index=0,
                status="success",
                outcome_hash=bytes(32),
                output='{"answer": 42}',
                request_id=str(uuid4()),
            )
            for dispatch in dispatches
        ]
        answers = self.services.report_desk.report(reports)
        if {answer.status for answer in answers} != {"finished"}:
            raise BenchError("a report was refused")


@contextmanager
def side(service_url: str, owner_url: str) -> Iterator[Side]:
    """The parts of an orchestrator's process, but for its server."""
    app = create_app(load({"DATABASE_URL": service_url, "DIBS_SECRET_KEY": secrets.token_hex(16)}))
    services = services_of(app)
    try:
        yield Side(services, owner_url)
    finally:
        services.draining.set()
        services.database.close()
