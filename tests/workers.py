"""Several processes that share the tests: what runs beside what (`pytest -n 2`)."""

from __future__ import annotations

import pytest
from xdist.remote import Producer
from xdist.scheduler import LoadScopeScheduling

# They start processes and promise times, so never two tests of a line at once. Those of the second
# are held to their times only where the machine is not too busy (`promised_times`); all other
# tests of faults wait for what they have done to be over.
QUIET = {
    "quiet": ("tests/acceptance/", "tests/compat/", "tests/integration/test_bench.py"),
    "timed faults": (
        "tests/chaos/test_kills.py",
        "tests/chaos/test_lost_replies.py",
        "tests/chaos/test_migration_under_load.py",
        "tests/chaos/test_outage.py",
        "tests/chaos/test_trickle.py",
    ),
}
# What takes longest begins first; the many that are short fill up what is left at the end.
LONGEST = (
    *QUIET,
    "tests/integration/test_state_machine.py",
    "tests/integration/test_database_trouble.py",
    "tests/chaos/",
)


def unit_of(nodeid: str) -> str:
    """
    What one worker runs as a whole, and one test after another.

    A module, because its fixtures are made once; and each line of `QUIET` together.
    """
    module = nodeid.partition("::")[0]
    return next((name for name, places in QUIET.items() if module.startswith(places)), module)


def turn_of(nodeid: str) -> int:
    """When the unit of a test is to begin, among all others."""
    unit = unit_of(nodeid)
    return next((turn for turn, one in enumerate(LONGEST) if unit.startswith(one)), len(LONGEST))


class Units(LoadScopeScheduling):
    """Deals units to workers in the order of collection."""

    def __init__(self, config: pytest.Config, log: Producer) -> None:
        config.option.loadscopereorder = False
        super().__init__(config, log)

    def _split_scope(self, nodeid: str) -> str:
        return unit_of(nodeid)
