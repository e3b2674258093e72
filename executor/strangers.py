"""What callers whom nobody vouches for yet may cost this executor."""

import math
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from ipaddress import IPv6Address, IPv6Network, ip_address

from executor.deadline import monotonic_seconds
from executor.rate import Rate

REQUESTS_AT_FIRST = 20
"""
What one address may send at once; more than the face has threads, so that a
good caller who comes with many requests at the same time is let in with all.
"""

QUESTIONS_PER_SECOND = 100.0
QUESTIONS_AT_FIRST = 200
QUESTIONS_AT_ONCE = 4
PLACE_SECONDS = 1.0

_SIXTY_FOUR_BITS = 64


class TooManyStrangersError(Exception):
    """The request is one too many; it cost nothing."""

    def __init__(self, retry_after_seconds: float) -> None:
        super().__init__("Too many requests with tokens that are not known here.")
        self.retry_after_seconds = retry_after_seconds


class Strangers:
    """
    Bounds requests whose token is not known to be good, and questions about them.

    Each address has its own rate; all together have one for the questions that
    they cause, of which only a few are asked at once. So whatever they send,
    they take neither all threads of the face nor the executor's budget.
    """

    def __init__(self, requests_per_second: float) -> None:
        self._lock = threading.Lock()
        self._requests = Rate(requests_per_second, REQUESTS_AT_FIRST)
        self._questions = Rate(QUESTIONS_PER_SECOND, QUESTIONS_AT_FIRST)
        self._places = threading.BoundedSemaphore(QUESTIONS_AT_ONCE)

    def admit(self, address: str) -> None:
        """
        Count a request against the address that it came from.

        Raises:
            TooManyStrangersError: The address has sent too many.
        """
        self._take(self._requests, whose(address))

    def forgive(self, address: str) -> None:
        """Count a request no more: its token turned out to be good."""
        with self._lock:
            self._requests.put_back(whose(address))

    @contextmanager
    def asking(self, *, patient: bool) -> Iterator[None]:
        """
        Hold one of the few places for a question.

        Args:
            patient: Whether to wait a moment for a place.

        Raises:
            TooManyStrangersError: There is none, or too many were asked lately.
        """
        if not self._places.acquire(timeout=PLACE_SECONDS if patient else 0):
            raise TooManyStrangersError(PLACE_SECONDS)
        try:
            self._take(self._questions, "")
            yield
        finally:
            self._places.release()

    def _take(self, rate: Rate, key: str) -> None:
        with self._lock:
            missing_seconds = rate.take(key, monotonic_seconds())
        if missing_seconds:
            raise TooManyStrangersError(math.ceil(missing_seconds))


def whose(address: str) -> str:
    """What stands for an address: of IPv6, of which anybody has any number, the network."""
    try:
        parsed = ip_address(address.partition("%")[0])
    except ValueError:
        return address
    if isinstance(parsed, IPv6Address):
        return str(IPv6Network((parsed, _SIXTY_FOUR_BITS), strict=False))
    return address
