"""Several processes that share the tests: what runs beside what (`pytest -n 2`)."""

from __future__ import annotations

import pytest
from xdist.remote import Producer
from xdist.scheduler import LoadScopeScheduling

QUIET = "quiet"
# They start processes and promise times, so never two of them at once.
QUIET_PLACES = (
    *("tests/acceptance/", "tests/chaos/", "tests/compat/"),
    "tests/integration/test_bench.py",
)


def unit_of(nodeid: str) -> str:
    """
    What one worker runs as a whole, and one test after another.

    A module, because its fixtures are made once; and all that is quiet together.
    """
    module = nodeid.partition("::")[0]
    return QUIET if module.startswith(QUIET_PLACES) else module


class Units(LoadScopeScheduling):
    """
    Deals units to workers in the order of collection.

    So the quiet ones, which take longest, begin first and at once.
    """

    def __init__(self, config: pytest.Config, log: Producer) -> None:
        config.option.loadscopereorder = False
        super().__init__(config, log)

    def _split_scope(self, nodeid: str) -> str:
        return unit_of(nodeid)
