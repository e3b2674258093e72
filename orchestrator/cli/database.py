"""Where the commands that work on the database find it."""

import os
from collections.abc import Iterator
from contextlib import contextmanager

from sqlalchemy import Connection

from orchestrator.cli.failure import MISCONFIGURED, Failure
from orchestrator.secret import SecretUnusable, secret_from
from orchestrator.settings import database_url
from orchestrator.store.engine import open_engine

DATABASE_URL = "DATABASE_URL"


def database_is_given() -> bool:
    """Whether the environment names a database at all."""
    return bool(os.environ.get(DATABASE_URL) or os.environ.get(f"{DATABASE_URL}_FILE"))


def database_from_environment() -> str:
    """
    The libpq URL in `DATABASE_URL`, or in the file that `DATABASE_URL_FILE` names.

    Raises:
        Failure: It is not set, or not a Postgres URL.
    """
    try:
        text = secret_from(os.environ, DATABASE_URL)
        if not text:
            raise Failure(f"{DATABASE_URL} is not set.", MISCONFIGURED)
        return database_url(text)
    except SecretUnusable as error:
        raise Failure(f"{error}.", MISCONFIGURED) from error
    except ValueError as error:
        raise Failure(f"{DATABASE_URL} {error}.", MISCONFIGURED) from error


@contextmanager
def transaction(name: str) -> Iterator[Connection]:
    """One transaction on that database; `name` is what the database sees."""
    engine = open_engine(database_from_environment(), connections=1, name=name)
    try:
        with engine.begin() as connection:
            yield connection
    finally:
        engine.dispose()
