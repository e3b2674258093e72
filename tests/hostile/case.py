"""One hostile request, and what it may get."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from tests.contract.raw_http import RawAnswer
from tests.hostile.answer import check_problem
from tests.hostile.place import Place

Told = tuple[int, str | None]

UNAUTHENTICATED: Final[Told] = (401, "unauthenticated")
INSUFFICIENT_SCOPE: Final[Told] = (403, "insufficient-scope")
RUN_NOT_FOUND: Final[Told] = (404, "run-not-found")
NOT_FOUND: Final[Told] = (404, "not-found")
MALFORMED_JSON: Final[Told] = (400, "malformed-json")
MALFORMED_REQUEST: Final[Told] = (400, "malformed-request")
VALIDATION: Final[Told] = (422, "validation")
TOO_LARGE: Final[Told] = (413, "payload-too-large")
LEASE_LOST: Final[Told] = (409, "lease-lost")
RATE_LIMITED: Final[Told] = (429, "rate-limited")
SERVED: Final[Told] = (200, None)
# What is no HTTP never reaches the application: the server below it answers by itself,
# without a problem document, or hangs up.
BELOW: Final[tuple[Told, ...]] = ((0, None), (400, None), (431, None))


@dataclass(frozen=True)
class Case:
    """
    A row of the list, played once.

    Attributes:
        row: Its number in `rows`.
        what: In a few words; unique within the row.
        play: Does it, and returns the answer that counts. What else must be true it asserts.
        gets: Each status and code that the answer may have.
        writes: Whether something good is sent, and stored, on the way.
        is_slow: Whether it takes seconds, by its nature.
    """

    row: str
    what: str
    play: Callable[[Place], RawAnswer]
    gets: tuple[Told, ...]
    writes: bool = False
    is_slow: bool = False

    @property
    def name(self) -> str:
        return f"{self.row} {self.what}"

    def check(self, place: Place, *also: Told) -> None:
        """
        Play it, and hold the answer to the list.

        Args:
            also: What else the answer may be, because of what was sent before.
        """
        answer = self.play(place)
        told = (answer.status, answer.code)
        assert told in (*self.gets, *also), f"{told}: {answer.body[:300]!r}"
        check_problem(answer)
