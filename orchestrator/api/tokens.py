"""Bearer tokens: `dibs_<keyId>_<secret>` to who is calling.

A token is looked up by its key id; what is stored is the SHA-256 of its secret.
An unknown id costs what a wrong secret costs, so that neither can be told by
time. What was looked up is believed for a second: a revocation is felt within it
everywhere. Then all tokens in use are looked up again in one statement: however many
they are, they cost one query a second.
"""

from __future__ import annotations

import hashlib
import hmac
import re
import threading
import time
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from orchestrator.errors import Unauthenticated, Unavailable
from orchestrator.lifecycle import Role
from orchestrator.store import tokens
from orchestrator.store.engine import Database
from orchestrator.store.patience import seconds_left
from orchestrator.store.transaction import transact

BELIEVED_SECONDS: Final = 1.0
# Longer than anyone waits for runs in one request, and for the next one after it.
IN_USE_SECONDS: Final = 120.0
_MOST_UNKNOWN: Final = 4_096

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


@dataclass(slots=True)
class _InUse:
    """A valid token, and when it was looked up and used last."""

    token: StoredToken
    looked_up_at: float
    used_at: float


class Tokens:
    """The tokens that are in use here; none is believed for longer than a second."""

    def __init__(
        self,
        look_up: Callable[[Collection[str]], Mapping[str, StoredToken]],
        clock: Callable[[], float] = time.monotonic,
    ):
        """
        Args:
            look_up: Finds the valid tokens among these key ids.
            clock: Seconds, monotonic.
        """
        self._look_up = look_up
        self._clock = clock
        self._in_use: dict[str, _InUse] = {}
        # Key ids without a valid token, and when they were looked up.
        self._unknown: dict[str, float] = {}
        self._looking_up = threading.Lock()

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

    def holder(self, key_id: str) -> Caller | None:
        """
        Whom a key id stands for now; None when its token is revoked, expired or unknown.

        Only for a key id whose secret was presented before, and that came here signed.
        """
        token = self._find(key_id)
        return token.caller if token else None

    def _find(self, key_id: str) -> StoredToken | None:
        now = self._clock()
        known = self._in_use.get(key_id)
        if known is None:
            return self._find_new(key_id, now)
        known.used_at = now
        if now - known.looked_up_at >= BELIEVED_SECONDS:
            self._look_up_again(key_id)
            known = self._in_use.get(key_id)
            if known is None:
                # Revoked, and known to be; or forgotten, because nobody had used it for long.
                return self._find_new(key_id, now)
        return known.token

    def _find_new(self, key_id: str, now: float) -> StoredToken | None:
        # A stranger's id is looked up by itself: nobody who is known waits for it.
        if now - self._unknown.get(key_id, -BELIEVED_SECONDS) < BELIEVED_SECONDS:
            return None
        token = self._look_up([key_id]).get(key_id)
        if token is None:
            self._note_unknown(key_id, now)
        else:
            self._in_use[key_id] = _InUse(token, looked_up_at=now, used_at=now)
        return token

    def _look_up_again(self, key_id: str) -> None:
        """Look up all tokens in use, once for all threads that find theirs too old by now."""
        if not self._looking_up.acquire(timeout=seconds_left()):
            raise Unavailable("The database is not available.", retry_after_seconds=1)
        try:
            now = self._clock()
            known = self._in_use.get(key_id)
            if known is not None and now - known.looked_up_at >= BELIEVED_SECONDS:
                self._look_up_all(now)
        finally:
            self._looking_up.release()

    def _look_up_all(self, now: float) -> None:
        in_use, forgotten = {}, []
        for key_id, one in self._in_use.copy().items():
            if now - one.used_at < IN_USE_SECONDS:
                in_use[key_id] = one
            else:
                forgotten.append(key_id)
        valid = self._look_up(in_use.keys())
        for key_id, one in in_use.items():
            if key_id in valid:
                # In this order: whoever reads between the two looks it up again.
                one.token = valid[key_id]
                one.looked_up_at = now
            else:
                self._note_unknown(key_id, now)
                del self._in_use[key_id]
        for key_id in forgotten:
            del self._in_use[key_id]

    def _note_unknown(self, key_id: str, now: float) -> None:
        if len(self._unknown) >= _MOST_UNKNOWN:
            self._unknown.clear()
        self._unknown[key_id] = now


def stored_tokens(database: Database, key_ids: Collection[str]) -> dict[str, StoredToken]:
    """The tokens with these key ids that are neither revoked nor expired, by key id."""
    found = transact(database.access, lambda connection: tokens.find_active(connection, key_ids))
    return {
        one.key_id: StoredToken(
            Caller(one.key_id, one.name, Role(one.role), one.queues, one.expires_at),
            one.secret_hash,
        )
        for one in found
    }


def _unauthenticated() -> Unauthenticated:
    return Unauthenticated("Send one valid token: Authorization: Bearer dibs_<keyId>_<secret>.")
