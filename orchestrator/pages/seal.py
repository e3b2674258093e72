"""Short texts, signed for one purpose until a moment.

The moment stands in the text itself, so that a clock which is behind the one that
signed makes nothing invalid: orchestrators share a key, not a clock.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable

from itsdangerous import BadSignature, Signer


class Seal:
    """Signs and reads texts of one purpose; one of another purpose is not read."""

    def __init__(self, key: str, purpose: str, clock: Callable[[], float] = time.time):
        """
        Args:
            key: `DIBS_SECRET_KEY`.
            clock: Seconds since 1970.
        """
        self._signer = Signer(
            key, salt=purpose, key_derivation="hmac", digest_method=hashlib.sha256
        )
        self._clock = clock

    def put(self, text: str, *, seconds: int, steady_seconds: int = 1) -> str:
        """
        The text, good for so long. It is signed, not hidden.

        Args:
            steady_seconds: Who asks again within as many seconds mostly gets the same, which
                then is good for up to so much less.
        """
        now = int(self._clock())
        return self._signer.sign(f"{text}.{now - now % steady_seconds + seconds}").decode()

    def read(self, sealed: str) -> str | None:
        """The text; None when it is not what `put` made here, or its time is over."""
        try:
            text, _, ends_at = self._signer.unsign(sealed).decode().rpartition(".")
        except BadSignature:
            return None
        return text if self._clock() < int(ends_at) else None
