"""Making access tokens: the secret is shown once, only its hash is kept."""

import hashlib
import hmac
import re
import secrets
from collections.abc import Sequence
from datetime import timedelta

from sqlalchemy import Connection

from orchestrator.errors import Conflict
from orchestrator.lifecycle import Role
from orchestrator.store import tokens

ALL_QUEUES = ("*",)

_KEY_ID_BYTES = 8
_COMPAT_SECRET_BYTES = 24
_OF_THE_ADAPTER = re.compile(r"[0-9a-f]{64}")


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
    compat: bool = False,
) -> str:
    """
    Make a token of 256 random bits (192 for the adapter) and write its hash down.

    Two tokens of a name may be active at once, so that one can replace the
    other. A name keeps its role for good, also when its tokens are revoked.

    Args:
        queues: Exact names, prefixes like `billing.*`, or `*`.
        lasts: How long it is good for; None for ever.
        development: Good only where an orchestrator listens on a loopback address.
        compat: For the adapter, and good there alone: in its other form nobody gets it.

    Returns:
        The token, `dibs_<keyId>_<secret>`, for the adapter 64 hexadecimal digits of which
        the first 16 are the key id; nobody can show it again.

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
    key_id = secrets.token_hex(_KEY_ID_BYTES)
    secret, compat_secret = secrets.token_urlsafe(32), secrets.token_hex(_COMPAT_SECRET_BYTES)
    tokens.create(
        connection,
        key_id=key_id,
        name=name,
        role=role.value,
        secret_hash=hash_of(secret),
        queues=queues,
        lasts=lasts,
        development=development,
        compat_hash=hash_of(compat_secret) if compat else None,
    )
    return f"{key_id}{compat_secret}" if compat else f"dibs_{key_id}_{secret}"


def key_id_of(token: str) -> str:
    """The public half of a token, which it is known by; empty when it has none."""
    if is_of_the_adapter(token):
        return token[: 2 * _KEY_ID_BYTES]
    return [*token.split("_", 2), ""][1]


def is_of_the_adapter(token: str) -> bool:
    """Whether this is a token in the form that the adapter takes."""
    return _OF_THE_ADAPTER.fullmatch(token) is not None


def is_active(connection: Connection, token: str) -> bool:
    """Whether this very token is good now."""
    known = tokens.find(connection, key_id_of(token))
    if known is None or not known.active:
        return False
    if is_of_the_adapter(token):
        kept, secret = known.compat_hash or b"", token[2 * _KEY_ID_BYTES :]
    else:
        kept, secret = known.secret_hash, [*token.split("_", 2), "", ""][2]
    return hmac.compare_digest(kept, hash_of(secret))


def hash_of(secret: str) -> bytes:
    """What is kept of a secret."""
    return hashlib.sha256(secret.encode()).digest()
