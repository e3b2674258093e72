"""Bearer tokens: `dibs_<keyId>_<secret>` to who is calling.

A token is looked up by its key id; what is stored is the SHA-256 of its secret.
An unknown id costs what a wrong secret costs, so that neither can be told by
time. What was looked up is kept for half a second: a revocation is felt within
one second everywhere, and a claim costs no query for its token.
"""

from __future__ import annotations

import hashlib
import hmac
import re
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from orchestrator.errors import Unauthenticated
from orchestrator.lifecycle import Role
from orchestrator.store import tokens
from orchestrator.store.engine import Database
from orchestrator.store.transaction import transact

KEPT_SECONDS: Final = 0.5
_MOST_KEPT: Final = 4_096

_BEARER: Final = re.compile(
    r"Bearer +dibs_([A-Za-z0-9]{1,64})_([A-Za-z0-9_-]{1,128})", re.IGNORECASE | re.ASCII
)
_NOBODYS_HASH: Final = hashlib.sha256(b"no secret has this hash").digest()


@dataclass(frozen=True, slots=True)
class Caller:
    """Who a good token stands for."""

    key_id: str
    name: str
    role: Role
    queues: tuple[str, ...]
    expires_at: datetime | None


@dataclass(frozen=True, slots=True)
class StoredToken:
    """A token that is neither revoked nor expired, as the database has it."""

    caller: Caller
    secret_hash: bytes


class Tokens:
    """The tokens that this process has looked up lately."""

    def __init__(
        self,
        look_up: Callable[[str], StoredToken | None],
        clock: Callable[[], float] = time.monotonic,
    ):
        """
        Args:
            look_up: Finds a valid token by its key id.
            clock: Seconds, monotonic.
        """
        self._look_up = look_up
        self._clock = clock
        self._kept: dict[str, tuple[float, StoredToken | None]] = {}

    def caller(self, credential: str | None) -> Caller:
        """
        Who presents this credential.

        Args:
            credential: The value of an `Authorization` header, if there is one.

        Raises:
            Unauthenticated: There is none, or it is not exactly one good bearer
                token. One sentence for every reason.
        """
        found = _BEARER.fullmatch(credential) if credential else None
        if found is None:
            raise _unauthenticated()
        key_id, secret = found.groups()
        token = self._find(key_id)
        known_hash = token.secret_hash if token else _NOBODYS_HASH
        matches = hmac.compare_digest(hashlib.sha256(secret.encode()).digest(), known_hash)
        if token is None or not matches:
            raise _unauthenticated()
        return token.caller

    def _find(self, key_id: str) -> StoredToken | None:
        now = self._clock()
        looked_up_at, token = self._kept.get(key_id, (-KEPT_SECONDS, None))
        if now - looked_up_at < KEPT_SECONDS and key_id in self._kept:
            return token
        token = self._look_up(key_id)
        if len(self._kept) >= _MOST_KEPT:
            self._kept.clear()
        self._kept[key_id] = (now, token)
        return token


def stored_token(database: Database, key_id: str) -> StoredToken | None:
    """A token by its key id, when it is neither revoked nor expired by the database's clock."""
    found = transact(database.access, lambda connection: tokens.find(connection, key_id))
    if found is None or not found.active:
        return None
    return StoredToken(
        Caller(found.key_id, found.name, Role(found.role), found.queues, found.expires_at),
        found.secret_hash,
    )


def _unauthenticated() -> Unauthenticated:
    return Unauthenticated("Send one valid token: Authorization: Bearer dibs_<keyId>_<secret>.")
