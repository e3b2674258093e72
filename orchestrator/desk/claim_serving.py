"""How wishes for runs are served: several in one transaction, or one alone."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from functools import partial

from orchestrator.desk.alarm import Alarm
from orchestrator.desk.allowances import Freeing
from orchestrator.desk.claim_batch import (
    Known,
    LimitsFoundError,
    RefusedMeanwhileError,
    claim_alone,
    claim_together,
)
from orchestrator.desk.gathering import Alone
from orchestrator.desk.granted import count_granted
from orchestrator.desk.pace import Pace
from orchestrator.desk.starting_points import StartingPoints
from orchestrator.desk.wishes import Asked, ClaimAnswer
from orchestrator.store.activity import Counted
from orchestrator.store.engine import Database
from orchestrator.store.records import Dispatch
from orchestrator.store.tally import of_queues
from orchestrator.store.transaction import transact


class ClaimServing:
    """One process's way to serve claims, and to count what they got."""

    def __init__(
        self, database: Database, points: StartingPoints, pace: Pace, alarm: Alarm
    ) -> None:
        """
        Args:
            pace: Told how long each batch took.
            alarm: Set where a rate that is used up makes those that are parked wait.
        """
        self._database = database
        self._points = points
        self._pace = pace
        self._alarm = alarm

    def together(
        self, asked: Sequence[Asked], committing: Callable[[], None]
    ) -> Sequence[ClaimAnswer | Exception | Alone]:
        """
        Serve wishes in one transaction; again without those that turn out to get nothing any more.

        Args:
            committing: To be called when only COMMIT is left.
        """
        outcomes: dict[int, ClaimAnswer | Exception | Alone] = {}
        living = list(asked)
        began = time.monotonic()
        while living:
            try:
                with self.known() as known:
                    served = transact(
                        self._database.work,
                        partial(claim_together, asked=tuple(living), known=known),
                        committing=committing,
                    )
            except LimitsFoundError:
                continue
            except RefusedMeanwhileError as refusal:
                for each in [one for one in living if refusal.means(one)]:
                    outcomes[id(each)] = refusal
                    living.remove(each)
                continue
            outcomes |= zip(map(id, living), served.answers, strict=True)
            self.note(served.dispatches, served.freeing)
            break
        wanted = sum(each.wish.limit for each in asked)
        self._pace.served(len(asked), wanted, time.monotonic() - began)
        return [outcomes[id(each)] for each in asked]

    def alone(self, asked: Asked) -> ClaimAnswer:
        """Serve one wish, after any copy of it that is being served."""
        while True:
            with suppress(LimitsFoundError), self.known() as known:
                answer, freeing = transact(
                    self._database.work, partial(claim_alone, asked=asked, known=known)
                )
                if answer.replayed:
                    self._count(Counted.REPLAYED, answer.dispatches)
                else:
                    self.note(answer.dispatches, freeing)
                return answer

    def note(self, granted: Sequence[Dispatch], freeing: Mapping[str, Freeing]) -> None:
        """Count what is committed now, and see that those are called whom a rate makes wait."""
        count_granted(self._database.metrics, granted)
        self._count(Counted.CLAIMED, granted)
        for queue, until in freeing.items():
            self._alarm.set(queue, after_seconds=until.after_seconds, runs=until.runs)

    def _count(self, what: Counted, dispatches: Sequence[Dispatch]) -> None:
        self._database.tally.add(of_queues(what, [each.run.step_queue for each in dispatches]))

    @contextmanager
    def known(self) -> Iterator[Known]:
        """What bounds the claims of one transaction."""
        with self._database.slots.taking() as taking:
            yield Known(self._database.limits, self._points, taking)
