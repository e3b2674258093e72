"""The claim desk: takes wishes for runs, and answers each with what it got.

Wishes that come at the same time are served in one transaction (`gathering`).
One that found nothing and may wait is parked (`parking`) until a queue of its
rings; that costs nothing, but that all that are parked look together once in a
while, so that a ring that was not heard costs seconds at most.
"""

from __future__ import annotations

import itertools
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager

from orchestrator.desk.alarm import Alarm
from orchestrator.desk.claim_batch import RefusedMeanwhileError
from orchestrator.desk.claim_serving import ClaimServing
from orchestrator.desk.first_copies import FirstCopies
from orchestrator.desk.gathering import Gathering, Ticket
from orchestrator.desk.lookout import Lookout
from orchestrator.desk.on_arrival import OnArrival
from orchestrator.desk.pace import EMPTY_POLL_MS, Pace
from orchestrator.desk.parking import Parking, Rings
from orchestrator.desk.signs_of_life import SignsOfLife
from orchestrator.desk.starting_points import StartingPoints
from orchestrator.desk.wishes import Asked, ClaimAnswer, Wish
from orchestrator.metrics.catalogue import Desk
from orchestrator.store import parked
from orchestrator.store.engine import Database
from orchestrator.store.patience import new_patience, seconds_left
from orchestrator.store.transaction import transact

# How often all that are parked look by themselves: while rings from other processes
# are heard, and while they are not.
LOOK_SECONDS = 2.0
LOOK_DEAF_SECONDS = 1.0
# A wait that a look ends which finds nothing when no other would come before its end.
LONG_WAIT_SECONDS = 4 * LOOK_SECONDS
# How long whoever brought runs lets those go first who got them: a thread that is woken
# goes on within a tenth of it, unless there is more to do than there are processors.
LET_GO_FIRST_SECONDS = 0.001
# Runs that are claimed in one transaction; beyond, it would keep others waiting.
RUNS_AT_ONCE = 1_000


class _Parked(Ticket[Asked, ClaimAnswer]):
    """
    A wish that is parked.

    Attributes:
        until: When its time is up.
        is_over: Nothing was found by a look so late that it need not wait for the next.
    """

    __slots__ = ("_asleep", "called_at", "is_over", "until")

    def __init__(self, asked: Asked, until: float) -> None:
        super().__init__(asked)
        self._asleep = threading.Lock()
        self._asleep.acquire()
        self.called_at: Rings = ()
        self.until = until
        self.is_over = False

    @property
    def queues(self) -> Sequence[str]:
        return self.wish.wish.queues

    def sleep(self, timeout_seconds: float) -> bool:
        woken = super().sleep(timeout_seconds)
        if woken and self._asleep.locked():
            self._asleep.release()
        return woken

    def let_go_first(self, timeout_seconds: float) -> None:
        """Wait until its thread, which was woken, goes on; it keeps the interpreter then."""
        self._asleep.acquire(timeout=max(0.0, timeout_seconds))


class ClaimDesk:
    """One process's desk for claims by poll."""

    def __init__(
        self,
        database: Database,
        signs: SignsOfLife,
        points: StartingPoints,
        *,
        parked_limit: int,
        draining: threading.Event,
        hears_others: Callable[[], bool] = lambda: False,
    ):
        """
        Args:
            parked_limit: How many wishes may wait at once; the next is answered empty.
            draining: Set when the process is to end: nothing waits any more.
            hears_others: Whether `ring` is called for what other processes do, too.
        """
        self._database = database
        self._signs = signs
        self._draining = draining
        self._hears_others = hears_others
        self._pace = Pace(runs_at_once=RUNS_AT_ONCE)
        self._serving = ClaimServing(database, points, self._pace, Alarm(self.ring, draining))
        self._gathering: Gathering[Asked, ClaimAnswer] = Gathering(
            self._serving.together,
            self._serving.alone,
            weight=lambda asked: asked.wish.limit,
            capacity=RUNS_AT_ONCE,
            note=database.metrics.gathered[Desk.CLAIMS].note,
        )
        self._parking: Parking[_Parked] = Parking(parked_limit)
        self._lookout = Lookout(
            self._look,
            self._serve_all,
            draining,
            every_seconds=lambda: LOOK_SECONDS if hears_others() else LOOK_DEAF_SECONDS,
        )
        self._first_copies = FirstCopies()
        self._turns = itertools.count()

    @property
    def parked(self) -> int:
        """How many wishes are parked."""
        return len(self._parking)

    @property
    def waiting(self) -> int:
        """How many wait for the transaction before theirs."""
        return len(self._gathering)

    def claim(self, wish: Wish) -> ClaimAnswer:
        """
        Lease runs to whoever wishes, or wait for some to come; whoever is drained or in
        quarantine is told so at once.

        The same request again gets the same runs under the same leases, as far
        as they still live, and never more.

        Raises:
            RequestIdReused: The request id belongs to another body.
        """
        answer = self._claim(wish)
        self._database.metrics.claims["poll", _result(answer)].add()
        return answer

    def _claim(self, wish: Wish) -> ClaimAnswer:
        self._signs.note(wish.executor, wish.session)
        looked_at = self._parking.rings(wish.queues)
        self._pace.require_room(len(self._gathering))
        allowed_after_ms = 0
        has_looked = not self._may_park_at_once(wish)
        if has_looked:
            answer = self._gathering.ask(self._asked(wish))
            if answer.is_final:
                return answer
            allowed_after_ms = answer.next_poll_after_ms
            self._parking.note_empty(wish.queues, looked_at)
        return self._wait(wish, looked_at, allowed_after_ms, has_looked=has_looked)

    def ring(self, arrived: Mapping[str, int]) -> dict[str, int]:
        """
        Serve those that have been parked longest: so many runs have arrived in these queues.

        Returns:
            What is left over for other processes' wishes.
        """
        called, left_over = self._parking.ring(arrived)
        self._gathering.submit(called)
        return left_over

    @contextmanager
    def on_arrival(self) -> Iterator[OnArrival[_Parked]]:
        """
        Let a transaction, which begins and ends within this block, claim what it brings for
        those that are parked; each of them is answered after it.
        """
        arrival: OnArrival[_Parked] | None = None
        try:
            with self._serving.known() as known:
                arrival = OnArrival(self._first, known)
                yield arrival
        except BaseException:
            if arrival is not None:
                # Whether it was committed their own look says.
                self._gathering.submit(arrival.called)
            raise
        if arrival.served is None:
            self._gathering.submit(arrival.called)
            return
        for ticket, answer in zip(arrival.called, arrival.served.answers, strict=True):
            ticket.outcome = answer
            ticket.wake()
        # Their answers begin the runs; who created them only hears that they are there.
        until = time.monotonic() + LET_GO_FIRST_SECONDS
        for ticket in arrival.called:
            ticket.let_go_first(until - time.monotonic())
        self._serving.note(arrival.served.dispatches, arrival.served.freeing)

    def _first(self, arriving: Mapping[str, int]) -> list[_Parked]:
        """
        Those who claim what arrives in the transaction that brings it: no more than one serves.

        Nobody who asks a queue with limits, too: its row would be waited for, and held.
        """
        limits, room = self._database.limits, RUNS_AT_ONCE

        def fits(ticket: _Parked) -> bool:
            nonlocal room
            room -= ticket.wish.wish.limit
            return room >= 0 and not any(queue in limits for queue in ticket.queues)

        return self._parking.first(arriving, fits)

    def _may_park_at_once(self, wish: Wish) -> bool:
        """Whether a look would find nothing, for all that is known here; never for a repeat."""
        is_first = self._first_copies.note(wish.key)
        return (
            is_first
            and wish.wait_seconds > LONG_WAIT_SECONDS
            and self._hears_others()
            and self._parking.known_empty(wish.queues, within_seconds=2 * LOOK_SECONDS)
        )

    def _wait(
        self, wish: Wish, looked_at: Rings, allowed_after_ms: int, *, has_looked: bool
    ) -> ClaimAnswer:
        """
        Wait for as long as the wish wants, and there is a place to.

        Args:
            allowed_after_ms: When a rate that was used up allows more; 0: none was.
            has_looked: Whether it may be answered empty; else it looks first.
        """
        began = time.monotonic()
        deadline = began + wish.wait_seconds
        while (left := deadline - time.monotonic()) > 0 and (self._may_park() or not has_looked):
            has_looked = True
            ticket = _Parked(self._asked(wish, parked_at=began), deadline)
            woken = False
            if self._parking.park(ticket, looked_at):
                woken = ticket.sleep(left)
                if not woken and self._parking.leave(ticket):
                    # The last look: a copy may have been granted something meanwhile.
                    self._gathering.submit([ticket])
            else:
                # A queue of its has rung since it looked, or others have taken the last place.
                ticket.called_at = self._parking.rings(wish.queues)
                self._gathering.submit([ticket])
            # What passed while it was parked was not the database's time.
            with new_patience():
                # One that was called when its time was up is woken in a moment: it is to be
                # served, or its wait is over.
                woken = woken or ticket.sleep(seconds_left())
                if ticket.is_over:
                    return ClaimAnswer((), 0, replayed=False)
                try:
                    answer = self._gathering.collect(ticket, woken=woken)
                except RefusedMeanwhileError:
                    return ClaimAnswer((), EMPTY_POLL_MS, replayed=False)
            if answer.is_final:
                return answer
            looked_at = ticket.called_at
            allowed_after_ms = answer.next_poll_after_ms
            self._parking.note_empty(wish.queues, looked_at)
        over = time.monotonic() >= deadline or self._draining.is_set()
        if wish.wait_seconds > 0 and over:
            return ClaimAnswer((), 0, replayed=False)
        pause_ms = self._pace.poll_after_ms(
            wish.process, soonest_ms=allowed_after_ms or EMPTY_POLL_MS
        )
        return ClaimAnswer((), pause_ms, replayed=False)

    def _may_park(self) -> bool:
        """Whether there is a place, and somebody who looks for whoever takes it."""
        return not self._parking.is_full and self._lookout.begin()

    def _asked(self, wish: Wish, *, parked_at: float | None = None) -> Asked:
        turn = next(self._turns) % len(wish.queues)
        return Asked(wish, wish.queues[turn:] + wish.queues[:turn], parked_at)

    def _look(self) -> None:
        """Look for all that are parked, once for all of them, and serve those it concerns."""
        waiting = self._parking.waiting()
        if not waiting:
            return
        queues = sorted({queue for ticket in waiting for queue in ticket.queues})
        looked_at = self._parking.rings(queues)
        with new_patience():
            found = transact(
                self._database.work,
                lambda connection: parked.look(
                    connection,
                    queues=queues,
                    most=len(waiting),
                    keys=[ticket.wish.wish.key for ticket in waiting],
                    processes=[ticket.wish.wish.process for ticket in waiting],
                ),
            )
        self._parking.note_empty(queues, looked_at)
        called, _ = self._parking.ring(found.runs)
        called += self._parking.call(
            ticket
            for ticket in waiting
            if ticket.wish.wish.key in found.answered
            or ticket.wish.wish.process in found.out_of_service
        )
        self._gathering.submit(called)
        # Who would not see another look ends with this one.
        soon = time.monotonic() + LOOK_SECONDS
        for ticket in self._parking.call(
            ticket
            for ticket in waiting
            if ticket.until < soon and ticket.wish.wish.wait_seconds > LONG_WAIT_SECONDS
        ):
            ticket.is_over = True
            ticket.wake()

    def _serve_all(self) -> None:
        """Let all that are parked look once more, and nobody park again: the process ends."""
        self._gathering.submit(self._parking.close())


def _result(answer: ClaimAnswer) -> str:
    """What a claim is counted as."""
    if answer.replayed:
        return "replayed"
    if answer.dispatches:
        return "granted"
    return "out-of-service" if answer.out_of_service else "empty"
