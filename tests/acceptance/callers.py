"""Who speaks to the stage's orchestrator: fixtures, for the conftest of whoever has a `stage`."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing

import pytest

from orchestrator.lifecycle import Role
from tests.acceptance.client import Client
from tests.acceptance.stage import Stage


@pytest.fixture
def web(stage: Stage) -> Iterator[Client]:
    """A client of the orchestrator."""
    with closing(stage.client()) as client:
        yield client


@pytest.fixture
def ops(stage: Stage) -> Iterator[Client]:
    """An operator, over the API."""
    with closing(stage.client(Role.OPERATOR)) as client:
        yield client


@pytest.fixture
def holder(stage: Stage) -> Iterator[Client]:
    """Somebody with the executors' token, who speaks the wire by hand."""
    with closing(stage.client(Role.EXECUTOR)) as client:
        yield client
