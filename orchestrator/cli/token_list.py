"""`dibs token list`: who may speak to the orchestrator; works on DATABASE_URL."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import click
import rich_click

from orchestrator.cli.database import transaction
from orchestrator.cli.output import print_json, print_table
from orchestrator.cli.table import STATE_STYLES, Column
from orchestrator.store import tokens
from orchestrator.store.tokens import AccessToken


@click.command("list", cls=rich_click.RichCommand)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")
def list_tokens(*, as_json: bool) -> None:
    """
    List every token, without its secret.

    \b
    dibs token list
    """
    with transaction("dibs-token") as connection:
        known = tokens.list_tokens(connection)
    if as_json:
        print_json({"items": [_shown(one) for one in known]})
        return
    print_table(
        (
            Column("KEY ID", whole=True),
            "NAME",
            "ROLE",
            "QUEUES",
            Column("STATE", styles=STATE_STYLES),
            Column("CREATED", whole=True, spare=2),
            Column("EXPIRES", whole=True, spare=1),
            Column("FOR", spare=3),
        ),
        (
            (
                one.key_id,
                one.name,
                one.role,
                " ".join(one.queues),
                _state(one),
                f"{one.created_at:%Y-%m-%d %H:%M}",
                f"{one.expires_at:%Y-%m-%d %H:%M}" if one.expires_at else "never",
                "development" if one.development else "adapter" if one.compat_hash else "",
            )
            for one in known
        ),
    )


def _state(one: AccessToken) -> str:
    return "revoked" if one.revoked_at else "active" if one.active else "expired"


def _shown(one: AccessToken) -> dict[str, Any]:
    return {
        "keyId": one.key_id,
        "name": one.name,
        "role": one.role,
        "queues": one.queues,
        "state": _state(one),
        "createdAt": _time(one.created_at),
        "expiresAt": _time(one.expires_at),
        "revokedAt": _time(one.revoked_at),
        "development": one.development,
        "compat": one.compat_hash is not None,
    }


def _time(at: datetime | None) -> str | None:
    return None if at is None else at.astimezone(UTC).isoformat(timespec="milliseconds")
