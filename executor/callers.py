"""Who triggers: callers' tokens, looked up and remembered for a short while."""

import hashlib
import re
import threading
from collections import OrderedDict
from dataclasses import dataclass, field

from executor.client import Orchestrator
from executor.deadline import monotonic_seconds
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
    displaces no good one.
    """

    def __init__(self, orchestrator: Orchestrator) -> None:
        self._orchestrator = orchestrator
        self._lock = threading.Lock()
        self._known = _Remembered(KNOWN_SECONDS)
        self._refused = _Remembered(REFUSED_SECONDS)

    def identify(self, token: str) -> Caller:
        """
        Who stands behind a token.

        Raises:
            NotAuthenticatedError: Nobody.
            RefusedError: The orchestrator will not say.
            UnansweredError: The orchestrator is away.
        """
        if len(token) > _LONGEST_TOKEN_CHARACTERS or not _TOKEN.fullmatch(token):
            raise NotAuthenticatedError
        digest = digest_of(token)
        with self._lock:
            now = monotonic_seconds()
            if self._refused.find(digest, now):
                raise NotAuthenticatedError
            found = self._known.find(digest, now)
        if found and found[1]:
            return found[1]
        return self._ask(token, digest)

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
            raise NotAuthenticatedError from None
        with self._lock:
            self._known.keep(digest, caller, asked_at)
        return caller


def digest_of(token: str) -> bytes:
    """What is kept of a token: nothing that opens anything."""
    return hashlib.sha256(token.encode()).digest()
