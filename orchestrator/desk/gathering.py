"""Gathering: what is wished at the same time is served together, and committed once.

There is no thread for it. Whoever comes while nobody is served leads: it serves
all that wait, itself among them. Whoever comes meanwhile waits, and the last of
them leads next: as soon as what is being served has only its COMMIT before it,
which is the disk's time and nobody's work. So one wish alone goes straight
through, and no wish waits for longer than what is being served takes to end.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from enum import Enum
from typing import Final, Generic, TypeVar

from sqlalchemy.exc import DBAPIError

from orchestrator.errors import OutcomeUnknown, Overloaded
from orchestrator.store.patience import seconds_left

Wish = TypeVar("Wish")
Answer = TypeVar("Answer")


class Alone(Enum):
    """Said of a wish that cannot be served with others: it is served again, by itself."""

    ALONE = "alone"


ALONE: Final = Alone.ALONE

# Batches whose COMMIT is on its way while the next is being served: measured in turns
# (docs/performance.md, "A COMMIT on its way").
COMMITS_AT_ONCE = 2


class Ticket(Generic[Wish, Answer]):
    """
    A wish that waits, and what becomes of it.

    Attributes:
        leads: Whether its thread is to serve all that wait; from then on it cannot withdraw.
        gone: Nobody waits for it any more.
    """

    __slots__ = ("_gate", "gone", "leads", "outcome", "wish")

    def __init__(self, wish: Wish) -> None:
        self.wish = wish
        self.leads = False
        self.gone = False
        self.outcome: Answer | Exception | Alone | None = None
        self._gate = threading.Lock()
        self._gate.acquire()

    def wake(self) -> None:
        """Let its thread go on; once, or once more after it was woken to lead."""
        self._gate.release()

    def sleep(self, timeout_seconds: float) -> bool:
        """Wait to be woken, and say whether it was."""
        return self._gate.acquire(timeout=max(0.0, timeout_seconds))


class Gathering(Generic[Wish, Answer]):
    """One process's wishes of one kind."""

    def __init__(
        self,
        serve: Callable[[Sequence[Wish], Callable[[], None]], Sequence[Answer | Exception | Alone]],
        serve_alone: Callable[[Wish], Answer],
        *,
        weight: Callable[[Wish], int] = lambda _wish: 1,
        capacity: int = 1_000,
        note: Callable[[int, float], None] = lambda _wishes, _seconds: None,
    ) -> None:
        """
        Args:
            serve: Serves some together; gives an outcome for each, in their order. When
                it raises what one of them is to blame for, each is served alone. It is
                handed what to call when only COMMIT is left (`transact(committing=…)`).
            serve_alone: Serves one, however long that takes the others.
            weight: How much of `capacity` a wish takes up of what is served at once.
            note: Told how many were served together, and how long that took.
        """
        self._serve = serve
        self._serve_alone = serve_alone
        self._weight = weight
        self._capacity = capacity
        self._note = note
        self._lock = threading.Lock()
        self._waiting: list[Ticket[Wish, Answer]] = []
        self._led = False
        self._committing = 0

    def __len__(self) -> int:
        """How many wait to be served."""
        return len(self._waiting)

    def ask(self, wish: Wish) -> Answer:
        """
        Have a wish served, within the request's patience.

        Raises:
            Overloaded: Its turn did not come in time; nothing was done.
            OutcomeUnknown: It was being served when its time was up.
        """
        ticket: Ticket[Wish, Answer] = Ticket(wish)
        self.submit([ticket])
        return self.collect(ticket)

    def submit(self, tickets: Sequence[Ticket[Wish, Answer]]) -> None:
        """
        Put wishes among those that wait, to be served together if there is room.

        One whose thread has gone meanwhile is left out: it would never lead.
        """
        with self._lock:
            present = [ticket for ticket in tickets if not ticket.gone]
            self._waiting += present
            if self._led or not present:
                return
            self._led = True
            leader = present[-1]
            leader.leads = True
        leader.wake()

    def collect(self, ticket: Ticket[Wish, Answer], *, woken: bool = False) -> Answer:
        """
        What became of a wish that was submitted; its own thread asks, which may have to lead.

        Args:
            woken: The thread has slept until it was woken.

        Raises:
            As `ask`.
        """
        woken = woken or ticket.sleep(seconds_left())
        if not woken and self._withdrawn(ticket):
            raise Overloaded("Too much is waiting for the database.", retry_after_seconds=1)
        if ticket.leads:
            self._lead(ticket)
        outcome = ticket.outcome
        if outcome is None:
            raise OutcomeUnknown(
                "The database did not say in time whether this was done: ask again with the"
                " same key.",
                retry_after_seconds=1,
            )
        if outcome is ALONE:
            return self._serve_alone(ticket.wish)
        if isinstance(outcome, Exception):
            raise outcome
        return outcome

    def _withdrawn(self, ticket: Ticket[Wish, Answer]) -> bool:
        """Take back a wish that nobody serves yet; whether it was not too late for that."""
        with self._lock:
            if ticket.leads:
                return False
            if ticket not in self._waiting:
                ticket.gone = ticket.outcome is None
                return False
            self._waiting.remove(ticket)
            return True

    def _lead(self, leader: Ticket[Wish, Answer]) -> None:
        batch = self._take(leader)
        began = time.perf_counter()
        has_handed_over = False

        def committing() -> None:
            nonlocal has_handed_over
            has_handed_over = has_handed_over or self._hand_over_early()

        try:
            outcomes = self._outcomes([ticket.wish for ticket in batch], committing)
        finally:
            if has_handed_over:
                self._has_committed()
            else:
                self._hand_over()
        for ticket, outcome in zip(batch, outcomes, strict=True):
            ticket.outcome = outcome
            if ticket is not leader:
                ticket.wake()
        self._note(len(batch), time.perf_counter() - began)

    def _take(self, leader: Ticket[Wish, Answer]) -> list[Ticket[Wish, Answer]]:
        """Those that have waited longest, as many as there is room for, and the leader."""
        batch: list[Ticket[Wish, Answer]] = []
        left: list[Ticket[Wish, Answer]] = []
        room = self._capacity - self._weight(leader.wish)
        with self._lock:
            for ticket in self._waiting:
                if ticket is not leader:
                    room -= self._weight(ticket.wish)
                    (batch if room >= 0 else left).append(ticket)
            self._waiting = left
        return [*batch, leader]

    def _hand_over_early(self) -> bool:
        """Let the next lead while this one commits, unless enough do; whether it did."""
        with self._lock:
            if self._committing == COMMITS_AT_ONCE:
                return False
            self._committing += 1
        self._hand_over()
        return True

    def _has_committed(self) -> None:
        with self._lock:
            self._committing -= 1

    def _hand_over(self) -> None:
        with self._lock:
            if not self._waiting:
                self._led = False
                return
            leader = self._waiting[-1]
            leader.leads = True
        leader.wake()

    def _outcomes(
        self, wishes: Sequence[Wish], committing: Callable[[], None]
    ) -> Sequence[Answer | Exception | Alone]:
        try:
            return self._serve(wishes, committing)
        except (DBAPIError, Overloaded):
            # One of them holds what the database refuses (`transaction.is_the_items_fault`),
            # or what another transaction holds locked.
            return [ALONE] * len(wishes)
        except Exception as error:  # noqa: BLE001 - raised in the thread of each
            return [error] * len(wishes)
