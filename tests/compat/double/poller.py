"""The poll loop: takes whatever it is given, and waits for all of it."""

from __future__ import annotations

import threading
from dataclasses import dataclass

from tests.compat.double.chain import Chain
from tests.compat.double.fields import Malformed
from tests.compat.double.journal import Journal
from tests.compat.double.orchestrator import Orchestrator, Unanswered
from tests.compat.double.runs import Run

POLL_SKIPPED = "poll_skipped"


@dataclass(frozen=True)
class Poller:
    """Asks, executes all that it got side by side, pauses, and asks again."""

    orchestrator: Orchestrator
    chain: Chain
    journal: Journal
    poll_seconds: float

    def run(self) -> None:
        """Poll until the process is to end; what was polled is finished first."""
        while not self.chain.stopping.wait(self.poll_seconds):
            following = [
                threading.Thread(target=self.chain.follow, args=(run,)) for run in self._polled()
            ]
            for thread in following:
                thread.start()
            for thread in following:
                thread.join()

    def _polled(self) -> list[Run]:
        try:
            offered = self.orchestrator.pending_runs()
        except Unanswered as unanswered:
            self.journal.write(POLL_SKIPPED, why=str(unanswered))
            return []
        except Malformed as malformed:
            self.chain.note_malformed(malformed)
            return []
        return [run for each in offered if (run := self._mapped(each)) is not None]

    def _mapped(self, value: object) -> Run | None:
        try:
            return self.chain.mapped(value)
        except Malformed as malformed:
            self.chain.note_malformed(malformed)
            return None
