"""What the tests of the edge share: an application whose database is away."""

import hashlib
from dataclasses import replace

import pytest

from orchestrator.api.context import EXTENSION, services_of
from orchestrator.api.tokens import Caller, StoredToken, Tokens
from orchestrator.app import create_app
from orchestrator.lifecycle import Role
from orchestrator.settings import load

SECRET = "s3cret"


@pytest.fixture(scope="session")
def stored():
    """A token for each role, named like it."""
    return {
        role.value: StoredToken(
            Caller(role.value, role.value, role, ("default", "billing.*"), None),
            hashlib.sha256(SECRET.encode()).digest(),
        )
        for role in Role
    }


@pytest.fixture(scope="session")
def app(stored):
    """Every route, a token for each role, and no database behind them."""
    made = create_app(
        load({"DATABASE_URL": "postgresql://nobody@127.0.0.1:1/none", "DIBS_SECRET_KEY": "k" * 32})
    )
    made.extensions[EXTENSION] = replace(services_of(made), tokens=Tokens(lambda: stored))
    return made


@pytest.fixture
def client(app):
    return app.test_client()


@pytest.fixture
def bearer():
    """The header of a role's token."""
    return lambda role: {"Authorization": f"Bearer dibs_{role}_{SECRET}"}
