"""Turns: which runs are executed now, and which wait until a slot is free."""

from executor.execution import Execution
from executor.pace import Pace


class Turns:
    """
    Slots, each for one run at a time, and a line in front of them.

    A run keeps its slot until its last report or its release has been answered.
    Whoever uses this sees to it that one thread does at a time.
    """

    def __init__(self, slots: int, pace: Pace) -> None:
        self._slots = slots
        self._pace = pace
        # With the time at which it came. A dict keeps that order, and lets go from its
        # middle at no cost.
        self._waiting: dict[Execution, float] = {}
        # With the time at which it got its slot; the longest ago comes first.
        self._busy: dict[Execution, float] = {}

    def line_up(self, execution: Execution, now: float) -> None:
        """Let a run wait for its turn."""
        self._waiting[execution] = now

    def take(self, now: float) -> Execution | None:
        """Give the next free slot to the run that has waited longest, if there are both."""
        if not self._waiting or len(self._busy) >= self._slots:
            return None
        execution = next(iter(self._waiting))
        del self._waiting[execution]
        self._busy[execution] = now
        return execution

    def leave(self, execution: Execution, now: float) -> None:
        """Let a run go, from its slot or out of the line."""
        began_at = self._busy.pop(execution, None)
        if began_at is None:
            self._waiting.pop(execution, None)
        else:
            self._pace.note(now - began_at, now)

    def is_waiting(self, execution: Execution) -> bool:
        """Whether a run has had no slot yet."""
        return execution in self._waiting

    def waiting(self) -> list[Execution]:
        """The runs that have had no slot yet."""
        return list(self._waiting)

    def waiting_since(self, before: float) -> list[Execution]:
        """Those of them that came before this time."""
        return [execution for execution, came_at in self._waiting.items() if came_at < before]

    def ahead(self, now: float) -> int:
        """How many runs may wait here beyond those that have a slot."""
        longest_since = next(iter(self._busy.values()), now)
        return self._pace.ahead(self._slots, longest_running_seconds=now - longest_since, now=now)
