"""How an installation is put up, and taken away."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path

from orchestrator.dev.embedded import EmbeddedPostgres
from orchestrator.lifecycle import Role
from tests.acceptance.processes import Orchestrator
from tests.acceptance.stage import LEASE_SECONDS, Fleet, Stage, make_token
from tests.chaos.fates import EVERY_ROUTE, Rates
from tests.chaos.network import network_to
from tests.chaos.site import QUEUE, Node, Site
from tests.database import Database, Template, fresh_database


@contextmanager
def site_on(
    postgres: EmbeddedPostgres,
    template: Template,
    directory: Path,
    *,
    seed: int,
    nodes: int = 2,
    workers: int = 1,
    executors: int = 4,
    slots: int = 4,
    lease_seconds: int = LEASE_SECONDS,
    rates: Mapping[str, Rates] | None = None,
) -> Iterator[Site]:
    """
    An installation on a database of its own; all of it is gone after the block.

    Args:
        nodes: How many orchestrators, each of so many `workers`.
        executors: Dealt to the orchestrators in turn.
        rates: What the networks do; nothing unless told.
    """
    with ExitStack() as stack:
        database = stack.enter_context(fresh_database(template))
        started = [
            _node(stack, f"orchestrator-{number}", database, directory, workers, seed, rates)
            for number in range(nodes)
        ]
        tokens = {role: make_token(database, role.value, role) for role in Role}
        stage = Stage(database, started[0].orchestrator, tokens)
        fleet = stack.enter_context(closing(Fleet(stage, QUEUE, directory)))
        site = Site(postgres, database, started, fleet)
        for number in range(executors):
            fleet.add(
                f"e{number}",
                slots=slots,
                lease_seconds=lease_seconds,
                url=started[number % nodes].network.url,
            ).launch()
        site.define()
        yield site


def _node(
    stack: ExitStack,
    name: str,
    database: Database,
    directory: Path,
    workers: int,
    seed: int,
    rates: Mapping[str, Rates] | None,
) -> Node:
    orchestrator = Orchestrator(name, database.service_url, directory, DIBS_WORKERS=str(workers))
    stack.callback(orchestrator.end)
    orchestrator.start()
    folder = directory / f"way-to-{name}"
    folder.mkdir()
    network = stack.enter_context(
        network_to(
            orchestrator.url,
            seed=seed,
            rates={EVERY_ROUTE: Rates()} if rates is None else rates,
            directory=folder,
        )
    )
    return Node(orchestrator, network)
