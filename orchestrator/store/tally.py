"""What happened in this process since it was last written down: counted in memory.

Nothing here asks the database, so that a claim costs no statement more for being counted.
It is bounded, whatever names and ids are made up: what goes beyond is counted under one name.
"""

from __future__ import annotations

import threading
import time
from collections import Counter, deque
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Final, Protocol
from uuid import UUID

from orchestrator.lifecycle import RunState
from orchestrator.store.activity import Counted
from orchestrator.store.refusals import MOST_KEPT, Refusal, Refused

MOST_QUEUES: Final = 1_000
MOST_RUNS: Final = 1_000
# No queue can have this name: only a token for every queue is shown what is counted here.
OTHERS: Final = "(others)"

Happened = Mapping[tuple[str, Counted], int]
"""How often each thing happened, by queue."""

_OVER: Final[dict[str, Counted]] = {
    RunState.FINISHED.value: Counted.FINISHED,
    RunState.FAILED.value: Counted.FAILED,
    RunState.ABORTED.value: Counted.ABORTED,
}


class Counts(Protocol):
    """Something that adds up."""

    def add(self, amount: float) -> None: ...


class Moved(Protocol):
    """A run that was moved to a state."""

    @property
    def run_state(self) -> str: ...

    @property
    def step_queue(self) -> str: ...


def of_queues(counted: Counted, queues: Iterable[str]) -> Happened:
    """The same in each of these queues, as often as it is named."""
    # A plain dict: to make a Counter takes longer than to count what is mostly one.
    happened: dict[tuple[str, Counted], int] = {}
    for queue in queues:
        key = (queue, counted)
        happened[key] = happened.get(key, 0) + 1
    return happened


def moved(runs: Iterable[Moved], counted: Counted | None = None) -> Happened:
    """
    What became of these runs, where it is their end.

    Args:
        counted: What happened to each of them besides.
    """
    happened: Counter[tuple[str, Counted]] = Counter()
    for run in runs:
        if counted is not None:
            happened[run.step_queue, counted] += 1
        if (over := _OVER.get(run.run_state)) is not None:
            happened[run.step_queue, over] += 1
    return happened


def reported(outcomes: Iterable[tuple[str, str, str]]) -> Happened:
    """
    What these outcomes of steps did.

    Args:
        outcomes: Of each what was told, the run's state now, and the queue that it had been
            claimed from.
    """
    alike: dict[tuple[str, str, str], int] = {}
    for outcome in outcomes:
        alike[outcome] = alike.get(outcome, 0) + 1
    happened: dict[tuple[str, Counted], int] = {}
    for (status, run_state, queue), number in alike.items():
        whats = [Counted.REPORTED]
        if (over := _OVER.get(run_state)) is not None:
            whats.append(over)
        elif status == "error" and run_state == RunState.SCHEDULED.value:
            whats.append(Counted.RETRIED)
        for what in whats:
            happened[queue, what] = happened.get((queue, what), 0) + number
    return happened


@dataclass(slots=True)
class _Refused:
    """How often a run was refused, and the last few, with the moment of each."""

    number: int = 0
    last: deque[tuple[float, Refusal]] = field(default_factory=lambda: deque(maxlen=MOST_KEPT))


@dataclass(frozen=True, slots=True)
class Tallied:
    """
    What was counted.

    Attributes:
        counts: By queue.
        refused: By run; these are not among the counts.
    """

    counts: Mapping[str, Mapping[Counted, int]]
    refused: Mapping[UUID, Refused]


class Tally:
    """One process's tally."""

    def __init__(self, totals: Mapping[Counted, Counts] = MappingProxyType({})) -> None:
        """
        Args:
            totals: Told as well of some of what happens, whatever queue it is in.
        """
        self._totals = totals
        self._lock = threading.Lock()
        self._counts: dict[str, dict[Counted, int]] = {}
        self._refused: dict[UUID, _Refused] = {}

    def count(self, counted: Counted, queue: str, number: int = 1) -> None:
        """Something has happened, and is committed."""
        self.add({(queue, counted): number})

    def add(self, happened: Happened) -> None:
        """Several things have."""
        for (_, counted), number in happened.items():
            if (total := self._totals.get(counted)) is not None:
                total.add(number)
        self._keep(happened)

    def _keep(self, happened: Happened) -> None:
        with self._lock:
            for (queue, counted), number in happened.items():
                counts = self._counts.get(queue) or self._of(queue)
                counts[counted] = counts.get(counted, 0) + number

    def refuse(
        self,
        run_id: UUID,
        code: str,
        *,
        executor: str,
        on_behalf_of: str | None = None,
        lease_id: UUID | None = None,
    ) -> None:
        """Somebody was refused a run, or an act under a lease of it."""
        refusal = Refusal(code, executor, on_behalf_of, lease_id)
        with self._lock:
            refused = self._refused.get(run_id)
            if refused is None:
                if len(self._refused) >= MOST_RUNS:
                    others = self._of(OTHERS)
                    others[Counted.REFUSED] = others.get(Counted.REFUSED, 0) + 1
                    return
                refused = self._refused[run_id] = _Refused()
            refused.number += 1
            refused.last.append((time.monotonic(), refusal))

    def take(self) -> Tallied:
        """What has happened since the last time."""
        with self._lock:
            counts, self._counts = self._counts, {}
            refused, self._refused = self._refused, {}
        now = time.monotonic()
        return Tallied(
            counts,
            {
                run_id: Refused(each.number, [(now - at, one) for at, one in each.last])
                for run_id, each in refused.items()
            },
        )

    def put_back(self, tallied: Tallied) -> None:
        """It could not be written down, and counts with what comes next; not who was refused."""
        for queue, numbers in tallied.counts.items():
            self._keep({(queue, counted): number for counted, number in numbers.items()})
        refused = sum(each.number for each in tallied.refused.values())
        if refused:
            self._keep({(OTHERS, Counted.REFUSED): refused})

    def _of(self, queue: str) -> dict[Counted, int]:
        if queue not in self._counts and len(self._counts) >= MOST_QUEUES:
            queue = OTHERS
        return self._counts.setdefault(queue, {})
