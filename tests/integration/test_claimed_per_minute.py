"""What was claimed in each of the last minutes, as a page draws it."""

from __future__ import annotations

from datetime import datetime

from orchestrator.store.activity import claimed_per_minute
from tests.integration.dibs import Dibs

# What was counted so many minutes ago, the present minute and the next among it.
COUNTED = {-1: 1_000, 0: 100, 1: 7, 3: 5, 4: 3}


def this_minute(dibs: Dibs) -> datetime:
    now: datetime = dibs.now()
    return now.replace(second=0, microsecond=0)


def claimed(dibs: Dibs, queue: str) -> dict[str, list[int]]:
    """What was claimed in three minutes, all looked at within one."""
    while True:
        minute = this_minute(dibs)
        dibs.owner.execute("DELETE FROM activity")
        for ago, number in COUNTED.items():
            dibs.owner.execute(
                'INSERT INTO activity ("spanSeconds", "beganAt", queue, claimed)'
                " VALUES (60, %s - make_interval(mins => %s), %s, %s)",
                [minute, ago, queue, number],
            )
        with dibs.database.work.begin() as connection:
            found = claimed_per_minute(connection, [queue, "quiet"], minutes=3)
        if this_minute(dibs) == minute:
            return found


def test_minutes_that_are_over_are_told_oldest_first_and_filled_with_zeros(dibs: Dibs) -> None:
    assert claimed(dibs, "busy") == {"busy": [5, 0, 7]}
