"""`dibs token`: who may speak to the orchestrator; works on DATABASE_URL."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path

import click
import rich_click
from sqlalchemy import Connection

from orchestrator.cli.database import database_from_environment
from orchestrator.cli.failure import CANNOT_CREATE, REFUSED, Failure
from orchestrator.cli.output import print_table
from orchestrator.cli.token_options import Lasting, QueuePattern, TokenName
from orchestrator.lifecycle import Role
from orchestrator.minting import ALL_QUEUES, TokenNameTaken, mint
from orchestrator.store import tokens
from orchestrator.store.engine import open_engine

DEFAULT_LIFE = "90d"


@click.group(cls=rich_click.RichGroup)
def token() -> None:
    """Make, list and revoke access tokens."""


@token.command()
@click.option("--name", type=TokenName(), required=True, help="Whose token; kept for good.")
@click.option("--role", type=click.Choice([role.value for role in Role]), required=True)
@click.option(
    "--queue", "queues", type=QueuePattern(), multiple=True, help="May be repeated.  [default: all]"
)
@click.option(
    "--expires", type=Lasting(), default=DEFAULT_LIFE, show_default=True, help="Or 12h, or never."
)
@click.option(
    "--to", "file", type=click.Path(path_type=Path), help="Write it to a file only you can read."
)
@click.option("--if-missing", is_flag=True, help="Do nothing when that file exists.")
def create(
    name: str,
    role: str,
    queues: tuple[str, ...],
    expires: timedelta | None,
    file: Path | None,
    if_missing: bool,
) -> None:
    """Make a token; it is shown this once."""
    if if_missing and file is None:
        raise click.UsageError("--if-missing needs --to.")
    if if_missing and file is not None and file.exists():
        click.echo(f"{file} exists: nothing to do", err=True)
        return
    with _claimed(file), _transaction() as connection:
        try:
            made = mint(
                connection, name=name, role=Role(role), queues=queues or ALL_QUEUES, lasts=expires
            )
        except TokenNameTaken as error:
            raise Failure(error.message, REFUSED) from error
        if file is not None:
            # Before the commit: a token that nobody holds is worse than a file without use.
            file.write_text(f"{made}\n", encoding="ascii")
    if file is None:
        click.echo(made)
    else:
        click.echo(f"written to {file}", err=True)


@token.command("list")
def list_tokens() -> None:
    """List every token, without its secret."""
    with _transaction() as connection:
        known = tokens.list_tokens(connection)
    print_table(
        ("KEY ID", "NAME", "ROLE", "QUEUES", "STATE", "CREATED", "EXPIRES"),
        (
            (
                one.key_id,
                one.name,
                one.role,
                " ".join(one.queues),
                "revoked" if one.revoked_at else "active" if one.active else "expired",
                f"{one.created_at:%Y-%m-%d %H:%M}",
                f"{one.expires_at:%Y-%m-%d %H:%M}" if one.expires_at else "never",
            )
            for one in known
        ),
    )


@token.command()
@click.option("--name", type=TokenName(), help="Every token of this name.")
@click.option("--key-id", help="One token.")
def revoke(name: str | None, key_id: str | None) -> None:
    """Revoke tokens; every orchestrator refuses them within a second."""
    if (name is None) == (key_id is None):
        raise click.UsageError("Give either --name or --key-id.")
    with _transaction() as connection:
        revoked = tokens.revoke(connection, name=name, key_id=key_id)
    if not revoked:
        raise Failure("No active token has this name or key id.", REFUSED)
    click.echo(f"revoked: {revoked}")


@contextmanager
def _transaction() -> Iterator[Connection]:
    engine = open_engine(database_from_environment(), connections=1, name="dibs-token")
    try:
        with engine.begin() as connection:
            yield connection
    finally:
        engine.dispose()


@contextmanager
def _claimed(file: Path | None) -> Iterator[None]:
    """Make the file first, for its owner only; it goes away again when the rest fails."""
    if file is None:
        yield
        return
    try:
        os.close(os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600))
    except OSError as error:
        raise Failure(f"Cannot create {file}: {error.strerror}.", CANNOT_CREATE) from error
    try:
        yield
    except BaseException:
        file.unlink(missing_ok=True)
        raise
