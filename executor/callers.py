"""Who triggers: callers' tokens, looked up and remembered for a short while."""

import hashlib
import re
import threading
from collections import OrderedDict
from dataclasses import dataclass, field

from executor.client import Orchestrator
from executor.deadline import monotonic_seconds
from executor.strangers import Strangers
from executor.transport import RefusedError
from executor.wire import Caller

KNOWN_SECONDS = 30.0
REFUSED_SECONDS = 5.0
MOST_REMEMBERED = 1024

_TOKEN = re.compile(r"dibs_[A-Za-z0-9]+_[A-Za-z0-9_-]+")
_LONGEST_TOKEN_CHARACTERS = 512


class NotAuthenticatedError(Exception):
    """Valid credentials are needed."""


@dataclass
class _Remembered:
    """Answers by digest, the oldest dropped first; it never holds a token."""

    seconds: float
    answers: OrderedDict[bytes, tuple[float, Caller | None]] = field(default_factory=OrderedDict)

    def find(self, digest: bytes, now: float) -> tuple[float, Caller | None] | None:
        found = self.answers.get(digest)
        return found if found and now < found[0] else None

    def keep(self, digest: bytes, caller: Caller | None, now: float) -> None:
        self.answers[digest] = (now + self.seconds, caller)
        self.answers.move_to_end(digest)
        if len(self.answers) > MOST_REMEMBERED:
            self.answers.popitem(last=False)


class Callers:
    """
    Asks the orchestrator who a caller is, at most twice a minute for each.

    Good and bad tokens are remembered apart, so that any number of bad ones
    displaces no good one. Whoever was good when he was last asked about is no
    stranger: his requests are not counted, and wait behind nobody.

    Args:
        orchestrator: A pool for these questions alone.
    """

    def __init__(self, orchestrator: Orchestrator, strangers: Strangers) -> None:
        self._orchestrator = orchestrator
        self._strangers = strangers
        self._lock = threading.Lock()
        self._known = _Remembered(KNOWN_SECONDS)
        self._refused = _Remembered(REFUSED_SECONDS)

    def identify(self, token: str | None, address: str) -> Caller:
        """
        Who stands behind a token.

        Args:
            address: Where the request came from.

        Raises:
            NotAuthenticatedError: Nobody.
            TooManyStrangersError: Nobody known, and too many of these.
            RefusedError: The orchestrator will not say.
            UnansweredError: The orchestrator is away.
        """
        if token is None or len(token) > _LONGEST_TOKEN_CHARACTERS or not _TOKEN.fullmatch(token):
            self._strangers.admit(address)
            raise NotAuthenticatedError
        digest = digest_of(token)
        if caller := self._remembered(digest):
            return caller
        with self._lock:
            was_good = digest in self._known.answers
        if was_good:
            return self._ask(token, digest)
        self._strangers.admit(address)
        self._refuse_again(digest)
        with self._strangers.asking(patient=not self._orchestrator.is_away):
            # While this one waited for a place, a request like it may have been answered.
            self._refuse_again(digest)
            caller = self._remembered(digest) or self._ask(token, digest)
        self._strangers.forgive(address)
        return caller

    def _remembered(self, digest: bytes) -> Caller | None:
        with self._lock:
            found = self._known.find(digest, monotonic_seconds())
        return found[1] if found else None

    def _refuse_again(self, digest: bytes) -> None:
        with self._lock:
            if self._refused.find(digest, monotonic_seconds()):
                raise NotAuthenticatedError

    def _ask(self, token: str, digest: bytes) -> Caller:
        # Counted from before the question, so that a revocation is never older.
        asked_at = monotonic_seconds()
        try:
            caller = self._orchestrator.whoami(token)
        except RefusedError as refusal:
            if not refusal.blames_caller:
                raise
            with self._lock:
                self._refused.keep(digest, None, asked_at)
                self._known.answers.pop(digest, None)
            raise NotAuthenticatedError from None
        with self._lock:
            self._known.keep(digest, caller, asked_at)
        return caller


def digest_of(token: str) -> bytes:
    """What is kept of a token: nothing that opens anything."""
    return hashlib.sha256(token.encode()).digest()
