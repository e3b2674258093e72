"""Making access tokens: the secret is shown once, only its hash is kept."""

import hashlib
import hmac
import secrets
from collections.abc import Sequence
from datetime import timedelta

from sqlalchemy import Connection

from orchestrator.errors import Conflict
from orchestrator.lifecycle import Role
from orchestrator.store import tokens

ALL_QUEUES = ("*",)


class TokenNameTaken(Conflict):
    """The name belongs to another token."""

    code = "token-name-taken"


def mint(
    connection: Connection,
    *,
    name: str,
    role: Role,
    queues: Sequence[str] = ALL_QUEUES,
    lasts: timedelta | None = None,
    development: bool = False,
) -> str:
    """
    Make a token of 256 random bits and write its hash down.

    Two tokens of a name may be active at once, so that one can replace the
    other. A name keeps its role for good, also when its tokens are revoked.

    Args:
        queues: Exact names, prefixes like `billing.*`, or `*`.
        lasts: How long it is good for; None for ever.
        development: Good only where an orchestrator listens on a loopback address.

    Returns:
        The token, `dibs_<keyId>_<secret>`; nobody can show it again.

    Raises:
        TokenNameTaken: The name has another role, or two active tokens already.
    """
    tokens.lock_name(connection, name)
    others = tokens.list_tokens(connection, name=name)
    if taken := {other.role for other in others} - {role.value}:
        raise TokenNameTaken(f"The name {name} belongs to the role {taken.pop()} for good.")
    if sum(other.active for other in others) >= tokens.ACTIVE_PER_NAME:
        raise TokenNameTaken(
            f"{name} has {tokens.ACTIVE_PER_NAME} active tokens already: revoke one first."
        )
    key_id = secrets.token_hex(8)
    secret = secrets.token_urlsafe(32)
    tokens.create(
        connection,
        key_id=key_id,
        name=name,
        role=role.value,
        secret_hash=hash_of(secret),
        queues=queues,
        lasts=lasts,
        development=development,
    )
    return f"dibs_{key_id}_{secret}"


def key_id_of(token: str) -> str:
    """The public half of a token, which it is known by; empty when it has none."""
    return [*token.split("_", 2), ""][1]


def is_active(connection: Connection, token: str) -> bool:
    """Whether this very token is good now."""
    known = tokens.find(connection, key_id_of(token))
    secret = [*token.split("_", 2), "", ""][2]
    return (
        known is not None
        and known.active
        and hmac.compare_digest(known.secret_hash, hash_of(secret))
    )


def hash_of(secret: str) -> bytes:
    """What is kept of a secret."""
    return hashlib.sha256(secret.encode()).digest()
