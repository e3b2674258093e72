"""The runs that this executor process is executing now."""

import threading
from dataclasses import dataclass, field
from datetime import UTC, datetime


class RunAlreadyInFlightError(Exception):
    """The run is in flight on this executor."""

    code = "run_already_in_flight"

    def __init__(self, held: "InFlightRun") -> None:
        super().__init__(f"Run {held.run_id} is already in flight on this executor.")
        self.held = held


@dataclass(eq=False)
class InFlightRun:
    """
    One entry of the set; it is the same entry only if it is the same object.

    Attributes:
        queue: The run's queue; None while the claim is on its way, when nothing
            is known of the run yet.
        reserved_for: The digest of the token for which a trigger reserved the
            run; None when it came by polling.
    """

    run_id: str
    queue: str | None = None
    reserved_for: bytes | None = None
    since: datetime = field(default_factory=lambda: datetime.now(UTC))


class InFlightRuns:
    """
    A local set of runs, so that a duplicate is refused without a call.

    Best effort, not a guard: it belongs to one process, knows nothing of other
    executors, and is empty after a restart. That a run is executed by one
    executor only is promised by the orchestrator's claim and by nothing here.
    """

    def __init__(self) -> None:
        self._runs: dict[str, InFlightRun] = {}
        self._lock = threading.Lock()

    def reserve(
        self, run_id: str, *, queue: str | None = None, reserved_for: bytes | None = None
    ) -> InFlightRun:
        """
        Enter a run, before the round trip that claims it.

        Raises:
            RunAlreadyInFlightError: It is there already; nothing was changed.
        """
        entry = InFlightRun(run_id, queue, reserved_for)
        with self._lock:
            held = self._runs.setdefault(run_id, entry)
        if held is not entry:
            raise RunAlreadyInFlightError(held)
        return entry

    def remove(self, entry: InFlightRun) -> bool:
        """
        Take an entry out, unless another one has taken its place.

        Returns:
            Whether this call removed it.
        """
        with self._lock:
            if self._runs.get(entry.run_id) is not entry:
                return False
            del self._runs[entry.run_id]
            return True

    def find(self, run_id: str) -> InFlightRun | None:
        """The entry of a run, if it is in flight here."""
        return self._runs.get(run_id)

    def __len__(self) -> int:
        return len(self._runs)
