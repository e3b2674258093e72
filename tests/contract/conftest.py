"""A real orchestrator on a socket, and somebody of each role who speaks to it."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from typing import Any

import psycopg
import pytest

from orchestrator.lifecycle import Role
from tests.acceptance.client import Client, Json
from tests.acceptance.stage import Stage, check_all_ledgers, stage_on
from tests.contract.adapter import Adapter, adapter_on
from tests.contract.browser import Browser
from tests.database import Template, fresh_database

numbers = itertools.count(1)


@pytest.fixture(scope="session")
def stage(template: Template, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    """One orchestrator for all tests; at the end every run's ledger is checked."""
    with (
        fresh_database(template) as database,
        stage_on(database, tmp_path_factory.mktemp("stage")) as stage,
    ):
        yield stage
        check_all_ledgers(database)


@pytest.fixture(scope="module")
def adapter(template: Template, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Adapter]:
    """An orchestrator that serves the adapter; at the end every run's ledger is checked."""
    with (
        fresh_database(template) as database,
        adapter_on(database, tmp_path_factory.mktemp("adapter")) as adapter,
    ):
        yield adapter
        check_all_ledgers(database)


@pytest.fixture(scope="session")
def callers(stage: Stage) -> Iterator[dict[Role, Client]]:
    """A client for each role."""
    with ExitStack() as open_clients:
        yield {role: open_clients.enter_context(closing(stage.client(role))) for role in Role}


@pytest.fixture
def queue() -> str:
    """A queue of the test's own."""
    return f"q{next(numbers)}"


@pytest.fixture
def web(callers: dict[Role, Client]) -> Client:
    """A client."""
    return callers[Role.CLIENT]


@pytest.fixture
def ops(callers: dict[Role, Client]) -> Client:
    """An operator."""
    return callers[Role.OPERATOR]


@pytest.fixture
def holder(callers: dict[Role, Client]) -> Client:
    """An executor's token, used by hand."""
    return callers[Role.EXECUTOR]


@pytest.fixture
def nobody(stage: Stage) -> Iterator[Client]:
    """Somebody without a token."""
    with closing(Client(stage.orchestrator.url)) as client:
        yield client


@pytest.fixture
def browsers(stage: Stage) -> Iterator[Callable[[], Browser]]:
    """Any number of browsers in which nobody has signed in."""
    with ExitStack() as open_browsers:
        yield lambda: open_browsers.enter_context(closing(Browser(stage.orchestrator.url)))


@pytest.fixture
def browser(browsers: Callable[[], Browser]) -> Browser:
    """One of them."""
    return browsers()


@pytest.fixture(scope="session")
def document(stage: Stage) -> Json:
    """The OpenAPI document as it is served."""
    with closing(Client(stage.orchestrator.url)) as client:
        return client.ask("GET", "/openapi.json")


@pytest.fixture
def owner(stage: Stage) -> Iterator[psycopg.Connection[Any]]:
    """The test's own way into the database, each statement a transaction."""
    with closing(psycopg.connect(stage.database.owner_url, autocommit=True)) as connection:
        yield connection
