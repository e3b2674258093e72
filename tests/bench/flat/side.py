"""One orchestrator on one database, asked through its desks as the views ask them."""

import secrets
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from uuid import UUID, uuid4

from orchestrator.api.context import Services, services_of
from orchestrator.app import create_app
from orchestrator.settings import load
from orchestrator.store.records import Dispatch
from tests.bench import desks
from tests.bench.flat.history import EXECUTOR


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
        return desks.claim(
            self.services.claim_desk,
            executor=EXECUTOR,
            session=self.session,
            request_id=uuid4(),
            limit=limit,
        )

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
        desks.report(self.services.report_desk, dispatches, output='{"answer": 42}')


@contextmanager
def side(service_url: str, owner_url: str) -> Iterator[Side]:
    """The parts of an orchestrator's process, but for its server."""
    settings = {
        "DATABASE_URL": service_url,
        "DIBS_SECRET_KEY": secrets.token_hex(16),
        # What is old is for the measurement of pruning.
        "DIBS_RETENTION_DAYS": "0",
    }
    app = create_app(load(settings))
    services = services_of(app)
    try:
        yield Side(services, owner_url)
    finally:
        services.draining.set()
        services.database.close()
