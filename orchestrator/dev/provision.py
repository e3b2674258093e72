"""A database made ready to serve: its schema, and a login that may serve and no more."""

from collections.abc import Callable
from contextlib import closing
from urllib.parse import quote, urlsplit

import psycopg
from psycopg import sql

from orchestrator import schema


def create_database(owner_url: str, name: str, *, template: str | None = None) -> str:
    """
    Make a database unless there is one of this name.

    Args:
        owner_url: Any database of the same server, for a login that may create one.
        template: The database to copy; nobody may be connected to it.

    Returns:
        The owner's URL of the database.
    """
    with closing(psycopg.connect(owner_url, autocommit=True)) as connection:
        statement = sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name))
        if template is not None:
            statement += sql.SQL(" TEMPLATE {}").format(sql.Identifier(template))
        try:
            connection.execute(statement)
        except psycopg.errors.DuplicateDatabase:
            if template is not None:
                raise
    return urlsplit(owner_url)._replace(path=f"/{name}").geturl()


def ensure_role(owner_url: str, role: str, password: str) -> str:
    """
    Make a login with this password, or give it this password.

    Returns:
        The role's URL of the owner's database.

    Raises:
        psycopg.errors.InsufficientPrivilege: The owner may not create roles.
    """
    with closing(psycopg.connect(owner_url, autocommit=True)) as connection:
        names = {"role": sql.Identifier(role), "password": sql.Literal(password)}
        try:
            connection.execute(
                sql.SQL("CREATE ROLE {role} LOGIN PASSWORD {password}").format(**names)
            )
        except psycopg.errors.DuplicateObject:
            connection.execute(
                sql.SQL("ALTER ROLE {role} LOGIN PASSWORD {password}").format(**names)
            )
    return as_user(owner_url, role, password)


def as_user(url: str, user: str, password: str) -> str:
    """The same database for another login."""
    parts = urlsplit(url)
    hosts = parts.netloc.rpartition("@")[2]
    return parts._replace(
        netloc=f"{quote(user, safe='')}:{quote(password, safe='')}@{hosts}"
    ).geturl()


def provision(owner_url: str, role: str, *, report: Callable[[str], None] | None = None) -> None:
    """Bring the schema up and let the role serve; harmless when both are done already."""
    schema.upgrade(owner_url, report=report)
    schema.grant(owner_url, role)
