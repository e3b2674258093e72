"""What becomes of requests on their way: drawn by a seed, so that it can be played again."""

import itertools
import random
import re
from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

EVERY_ROUTE = "*"

_ID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")


@dataclass(frozen=True)
class Rates:
    """
    How many of a route's requests meet each fault, from 0 to 1.

    Attributes:
        lost: Upstream answers, and nobody hears it: the connection closes.
        cut: The connection is reset in the middle of the request.
        doubled: The same bytes go upstream twice at once; one answer comes back.
        delayed: Held back, for `shortest_delay_seconds` to `longest_delay_seconds`.
        overtaken: Held back until a few later requests have passed.
        abandoned: The client's side is reset when there is no answer after a while, of
            up to `longest_wait_seconds`; upstream goes on and notices nothing.
    """

    lost: float = 0.0
    cut: float = 0.0
    doubled: float = 0.0
    delayed: float = 0.0
    shortest_delay_seconds: float = 0.0
    longest_delay_seconds: float = 0.2
    overtaken: float = 0.0
    abandoned: float = 0.0
    longest_wait_seconds: float = 3.0


@dataclass(frozen=True)
class Fate:
    """
    What becomes of one request.

    Attributes:
        answered_by: Which copy's answer comes back: 0, or 1 of a doubled one.
        overtaken_by: How many later requests pass first.
        patience_seconds: How long the client can wait for an answer; None for ever.
    """

    lost: bool
    cut: bool
    doubled: bool
    answered_by: int
    delay_seconds: float
    overtaken_by: int
    patience_seconds: float | None = None


class Fates:
    """
    Draws fates.

    The n-th request of a route meets the same fate whenever the seed is the
    same, whatever happens on other routes.
    """

    def __init__(self, seed: int, rates: Mapping[str, Rates]) -> None:
        """
        Args:
            rates: By route, as `route_of` words it; `EVERY_ROUTE` for the others.
        """
        self._seed = seed
        self._rates = rates
        self._ordinals: defaultdict[str, Iterator[int]] = defaultdict(itertools.count)

    def draw(self, route: str) -> Fate:
        """The fate of the next request of this route."""
        rates = self._rates.get(route) or self._rates.get(EVERY_ROUTE) or Rates()
        chance = random.Random(f"{self._seed}/{route}/{next(self._ordinals[route])}")
        # Always the same draws: a changed rate must not move the other faults.
        lost, cut, doubled, delayed, overtaken = (chance.random() for _ in range(5))
        delay_seconds = chance.uniform(rates.shortest_delay_seconds, rates.longest_delay_seconds)
        overtaken_by = chance.randint(1, 4)
        second_answers = chance.random() < 0.5
        is_abandoned = chance.random() < rates.abandoned
        patience_seconds = chance.uniform(0, rates.longest_wait_seconds)
        is_doubled = doubled < rates.doubled
        return Fate(
            lost=lost < rates.lost,
            cut=cut < rates.cut,
            doubled=is_doubled,
            answered_by=int(is_doubled and second_answers),
            delay_seconds=delay_seconds if delayed < rates.delayed else 0.0,
            overtaken_by=overtaken_by if overtaken < rates.overtaken else 0,
            patience_seconds=patience_seconds if is_abandoned else None,
        )


def route_of(method: str, path: str) -> str:
    """A request's route: ids are all alike, and what is asked for does not matter."""
    return f"{method} {_ID.sub('{id}', path.partition('?')[0])}"
