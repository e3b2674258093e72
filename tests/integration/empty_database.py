"""A database without a schema, for tests that make one."""

import secrets
from collections.abc import Iterator
from contextlib import contextmanager

from orchestrator.dev.provision import create_database
from tests.database import drop_database


@contextmanager
def empty_database(owner_url: str) -> Iterator[str]:
    """The owner's URL of a new database that is dropped at the end."""
    name = f"dibs_test_{secrets.token_hex(6)}"
    try:
        # template0 has nothing in it, whatever an administrator added to template1.
        yield create_database(owner_url, name, template="template0")
    finally:
        drop_database(owner_url, name)
