"""`dibs token`: who may speak to the orchestrator; works on DATABASE_URL."""

import os
from contextlib import ExitStack
from datetime import timedelta
from pathlib import Path

import click
import rich_click
from sqlalchemy import Connection

from orchestrator.cli.command_line_act import command_line_act
from orchestrator.cli.database import transaction
from orchestrator.cli.failure import CANNOT_CREATE, REFUSED, Failure
from orchestrator.cli.output import say
from orchestrator.cli.token_list import list_tokens
from orchestrator.cli.token_options import Lasting, QueuePattern, TokenName
from orchestrator.lifecycle import ActKind, Role
from orchestrator.minting import (
    ALL_QUEUES,
    TokenNameTaken,
    is_active,
    is_of_the_adapter,
    key_id_of,
    mint,
)
from orchestrator.store import operator_acts, tokens
from orchestrator.store.operator_acts import OperatorAct

DEFAULT_LIFE = "90d"
TOKEN_PREFIX = "dibs_"  # noqa: S105 - what every token begins with


@click.group(cls=rich_click.RichGroup)
def token() -> None:
    """
    Make, list and revoke access tokens.

    Works on DATABASE_URL, as the schema's owner.

    \b
    dibs token create --name web --role client
    dibs token list
    """


token.add_command(list_tokens)


@token.command()
@click.option("--name", type=TokenName(), required=True, help="Whose token; kept for good.")
@click.option(
    "--role",
    type=click.Choice([role.value for role in Role]),
    required=True,
    help="What it may do.",
)
@click.option(
    "--queue", "queues", type=QueuePattern(), multiple=True, help="May be repeated.  [default: all]"
)
@click.option(
    "--expires", type=Lasting(), default=DEFAULT_LIFE, show_default=True, help="Or 12h, or never."
)
@click.option(
    "--to", "file", type=click.Path(path_type=Path), help="Write it to a file only you can read."
)
@click.option("--if-missing", is_flag=True, help="Do nothing when that file holds a good token.")
@click.option(
    "--compat",
    is_flag=True,
    help="64 hexadecimal digits, for an executor of the adapter (DIBS_COMPAT); good there alone.",
)
def create(
    name: str,
    role: str,
    queues: tuple[str, ...],
    expires: timedelta | None,
    file: Path | None,
    if_missing: bool,
    compat: bool,
) -> None:
    """
    Make a token; it is shown this once.

    \b
    dibs token create --name web --role client --queue 'billing.*'
    dibs token create --name fleet --role executor --expires 30d --to token --if-missing
    dibs token create --name forest-1 --role executor --compat
    """
    if compat and role != Role.EXECUTOR:
        raise click.UsageError("--compat is for --role executor.")
    if if_missing and file is None:
        raise click.UsageError("--if-missing needs --to.")
    with ExitStack() as undo:
        with transaction("dibs-token") as connection:
            if if_missing and file is not None and _holds_a_good_one(connection, file, compat):
                say(f"{file} holds a token that is good: nothing to do", err=True)
                return
            try:
                made = mint(
                    connection,
                    name=name,
                    role=Role(role),
                    queues=queues or ALL_QUEUES,
                    lasts=expires,
                    compat=compat,
                )
            except TokenNameTaken as error:
                raise Failure(error.message, REFUSED) from error
            operator_acts.note(connection, _creation(name, made, role, queues, expires))
            if file is not None:
                # Before the commit: a token that nobody holds is worse than a file without use.
                _write(file, made, replace=if_missing)
                undo.callback(file.unlink, missing_ok=True)
        undo.pop_all()
    if file is None:
        say(made)
    else:
        say(f"written to {file}", err=True)


def _creation(
    name: str, made: str, role: str, queues: tuple[str, ...], expires: timedelta | None
) -> OperatorAct:
    return command_line_act(
        ActKind.CREATE_TOKEN,
        name,
        keyId=key_id_of(made),
        role=role,
        queues=queues or ALL_QUEUES,
        lastsSeconds=None if expires is None else round(expires.total_seconds()),
        compat=is_of_the_adapter(made) or None,
    )


@token.command()
@click.option("--name", type=TokenName(), help="Every token of this name.")
@click.option("--key-id", help="One token.")
def revoke(name: str | None, key_id: str | None) -> None:
    """
    Revoke tokens; every orchestrator refuses them within a second.

    \b
    dibs token revoke --name web
    dibs token revoke --key-id 0f3a
    """
    if (name is None) == (key_id is None):
        raise click.UsageError("Give either --name or --key-id.")
    with transaction("dibs-token") as connection:
        revoked = tokens.revoke(connection, name=name, key_id=key_id)
        if revoked:
            subject = name if name is not None else str(key_id)
            line = command_line_act(ActKind.REVOKE_TOKENS, subject, revoked=revoked)
            operator_acts.note(connection, line)
    if not revoked:
        raise Failure("No active token has this name or key id.", REFUSED)
    say(f"revoked: {revoked}")


def _holds_a_good_one(connection: Connection, file: Path, compat: bool) -> bool:
    """Whether nothing is to be done; else the file may be (over)written."""
    try:
        held = file.read_text(encoding="utf-8").strip()
    except FileNotFoundError:
        return False
    except (OSError, UnicodeDecodeError) as error:
        raise Failure(f"Cannot read {file}: {error}.", CANNOT_CREATE) from error
    is_one = is_of_the_adapter(held) if compat else held.startswith(TOKEN_PREFIX)
    if held and not is_one:
        raise Failure(f"{file} exists, and holds something else than a token.", CANNOT_CREATE)
    return is_active(connection, held)


def _write(file: Path, made: str, *, replace: bool) -> None:
    """Write the token to a file of its owner's only; one that is replaced is never seen half."""
    target = file.with_name(f".{file.name}.{os.getpid()}") if replace else file
    try:
        with open(target, "x", encoding="ascii", opener=_for_its_owner) as opened:
            opened.write(f"{made}\n")
        target.replace(file)
    except OSError as error:
        raise Failure(f"Cannot create {file}: {error.strerror}.", CANNOT_CREATE) from error


def _for_its_owner(path: str, flags: int) -> int:
    return os.open(path, flags, 0o600)
