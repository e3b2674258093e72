"""How runs ended of late, for all who ask: one look at a bounded sample."""

from __future__ import annotations

from typing import Final

from orchestrator.desk.kept import Kept
from orchestrator.store.engine import Database
from orchestrator.store.outcomes import Outcomes, sample
from orchestrator.store.transaction import transact

STEPS_LOOKED_AT: Final = 10_000
KEPT_SECONDS: Final = 10.0


def kept_outcomes(database: Database) -> Kept[list[Outcomes]]:
    """The sample of one process."""
    return Kept(
        lambda: transact(
            database.work, lambda connection: sample(connection, steps=STEPS_LOOKED_AT)
        ),
        seconds=KEPT_SECONDS,
    )
