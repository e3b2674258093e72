"""Tokens: `dibs_<keyId>_<secret>`, or 64 hexadecimal digits at the adapter, to who is calling.

What is stored of a secret is its SHA-256. All valid tokens stand in memory, and are read
anew each second while requests come: a revocation is felt within it everywhere, and
nobody's credential costs a query of its own.

A credential that is not good by what is known may be of a token that was made a moment
ago. So it is judged again by what is read after it came. An unknown id and a wrong
secret are told apart nowhere on that way, so that neither can be told by time; and
however many strangers come, they cause few readings, which serve everyone else too.
"""

from __future__ import annotations

import hashlib
import hmac
import re
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import Enum
from typing import Final, NamedTuple

from orchestrator.errors import Overloaded, Unauthenticated, Unavailable
from orchestrator.lifecycle import Role
from orchestrator.store.patience import seconds_left

BELIEVED_SECONDS: Final = 1.0
# How often strangers may have the tokens read: so often, while that takes a tenth of the
# time at most. So many threads may wait for it; the others are judged by what is known
# already, which is a second old at most.
STRANGERS_EVERY_SECONDS: Final = 0.05
STRANGERS_SHARE: Final = 0.1
MOST_STRANGERS_WAITING: Final = 16


class Form(Enum):
    """How a credential is written, and where it is good."""

    BEARER = re.compile(
        r"Bearer +dibs_([A-Za-z0-9]{1,64})_([A-Za-z0-9_-]{1,128})", re.IGNORECASE | re.ASCII
    )
    # Key id and secret without anything between: the adapter's executors take nothing else.
    COMPAT = re.compile(r"([0-9a-f]{16})([0-9a-f]{48})")


_ASK_FOR: Final = {
    Form.BEARER: "Send one valid token: Authorization: Bearer dibs_<keyId>_<secret>.",
    Form.COMPAT: "Send one valid secret of 64 hexadecimal digits: forest-secret-key.",
}
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
    """
    A token that is neither revoked nor expired, as the database has it.

    Attributes:
        compat_hash: Of its secret at the adapter; None when it has none.
    """

    caller: Caller
    secret_hash: bytes
    compat_hash: bytes | None = None

    def hash_in(self, form: Form) -> bytes | None:
        """What is kept of the secret that is good in this form."""
        return self.secret_hash if form is Form.BEARER else self.compat_hash


# Stands for a key id that there is not.
_NOBODYS: Final = StoredToken(Caller("", "", Role.VIEWER, (), None), _NOBODYS_HASH)


class _Presented(NamedTuple):
    """A well-formed credential: its key id, and the hash of its secret."""

    key_id: str
    secret_hash: bytes
    form: Form


@dataclass(frozen=True, slots=True)
class _Reading:
    """The valid tokens by key id, and when reading them began."""

    tokens: Mapping[str, StoredToken]
    began_at: float

    def caller(self, presented: _Presented) -> Caller | None:
        """Who it is; the same work whether the id is unknown or the secret wrong."""
        token = self.tokens.get(presented.key_id, _NOBODYS)
        known_hash = token.hash_in(presented.form) or _NOBODYS_HASH
        matches = hmac.compare_digest(presented.secret_hash, known_hash)
        return token.caller if matches and token is not _NOBODYS else None


class Tokens:
    """The valid tokens as one process knows them; none is believed for longer than a second."""

    def __init__(
        self,
        read: Callable[[], Mapping[str, StoredToken]],
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ):
        """
        Args:
            read: All valid tokens by key id; never called by two threads at once.
            clock: Seconds, monotonic.
        """
        self._read = read
        self._clock = clock
        self._sleep = sleep
        self._known = _Reading({}, float("-inf"))
        self._tried_at = float("-inf")
        self._took_seconds = 0.0
        self._reading = threading.Lock()
        self._strangers = threading.BoundedSemaphore(MOST_STRANGERS_WAITING)

    def known_caller(self, credential: str | None, form: Form = Form.BEARER) -> Caller | None:
        """
        Who presents this credential, by what is known by now.

        Args:
            credential: The value of an `Authorization` header, if there is one; of
                `forest-secret-key` in the form of the adapter.

        Returns:
            None when it is not known to be good: `caller` decides.
        """
        presented = _read(credential, form)
        if presented is None:
            return None
        return self._since(self._clock() - BELIEVED_SECONDS).caller(presented)

    def last_known_caller(self, credential: str | None) -> Caller | None:
        """Who presents this credential, by the last reading, however old that is."""
        presented = _read(credential, Form.BEARER)
        return None if presented is None else self._known.caller(presented)

    def caller(self, credential: str | None, form: Form = Form.BEARER) -> Caller:
        """
        Who presents this credential, also when its token was made a moment ago.

        Raises:
            Unauthenticated: There is none, or it is not exactly one good token of
                this form. One sentence for every reason.
            Overloaded: Too many that are not known wait to be looked up; of this one
                nothing is said.
        """
        presented = _read(credential, form)
        if presented is None:
            raise _unauthenticated(form)
        now = self._clock()
        who = self._since(now - BELIEVED_SECONDS).caller(presented)
        if who is None:
            who = self._judge_again(presented, came_at=now)
        if who is None:
            raise _unauthenticated(form)
        return who

    def holder(self, key_id: str) -> Caller | None:
        """
        Whom a key id stands for now; None when its token is revoked, expired or unknown.

        Only for a key id whose secret was presented before, and that came here signed.
        """
        token = self._since(self._clock() - BELIEVED_SECONDS).tokens.get(key_id)
        return token.caller if token else None

    def _judge_again(self, presented: _Presented, *, came_at: float) -> Caller | None:
        if not self._strangers.acquire(blocking=False):
            raise Overloaded("Too many unknown tokens are looked up.", retry_after_seconds=1)
        try:
            every_seconds = max(STRANGERS_EVERY_SECONDS, self._took_seconds / STRANGERS_SHARE)
            pause_seconds = self._tried_at + min(every_seconds, BELIEVED_SECONDS) - came_at
            if pause_seconds > 0:
                self._sleep(pause_seconds)
            return self._since(came_at).caller(presented)
        finally:
            self._strangers.release()

    def _since(self, instant: float) -> _Reading:
        """A reading that began then or later: one thread reads for all that need it."""
        if self._known.began_at > instant:
            return self._known
        if not self._reading.acquire(timeout=seconds_left()):
            raise Unavailable("The database is not available.", retry_after_seconds=1)
        try:
            if self._known.began_at <= instant:
                self._tried_at = now = self._clock()
                self._known = _Reading(self._read(), now)
                self._took_seconds = self._clock() - now
            return self._known
        finally:
            self._reading.release()


def _read(credential: str | None, form: Form) -> _Presented | None:
    found = form.value.fullmatch(credential) if credential else None
    if found is None:
        return None
    key_id, secret = found.groups()
    return _Presented(key_id, hashlib.sha256(secret.encode()).digest(), form)


def _unauthenticated(form: Form) -> Unauthenticated:
    return Unauthenticated(_ASK_FOR[form])
