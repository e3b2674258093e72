"""Orchestrators and database cannot reach each other: 503 in time, and all is well afterwards."""

from __future__ import annotations

import time
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest

from tests.chaos.fault import Fault
from tests.chaos.promised_times import require_within
from tests.chaos.size import sized
from tests.chaos.two_orchestrators import two_orchestrators
from tests.database import Template, fresh_database
from tests.integration.door import door_to

APART_SECONDS = sized(6.0, 15.0)
TIMES = sized(1, 3)
ROUNDS = sized(5, 20)
LONGEST_ANSWER_SECONDS = 7.0
"""Five that a request may wait for the database, and what a busy machine adds."""
HEALS_WITHIN_SECONDS = 10.0


@pytest.mark.fault("F26")
def test_what_is_sent_while_nothing_gets_through_is_refused_in_time_and_done_once_later(
    template: Template, tmp_path: Path, fault: Fault
) -> None:
    """
    What was on its way arrives when the network is back, COMMITs among it.

    Its senders have given up by then, and been told that they must ask again.
    """
    with fresh_database(template) as database, door_to(database.service_url) as door:
        behind = replace(database, service_url=door.url(database.service_url))
        with two_orchestrators(behind, tmp_path) as two:
            load = two.load("apart")
            with load.running():
                for _ in range(TIMES):
                    load.go_on(ROUNDS)
                    door.hold_back()
                    apart_since = datetime.now(UTC)
                    time.sleep(APART_SECONDS)
                    acknowledged = load.written(apart_since)
                    door.pass_on()
                    together_since = time.monotonic()
                    load.go_on()
                    fault.recovered(time.monotonic() - together_since)
                    fault.injected()
                    assert acknowledged == []
            two.everything_is_there(load, fault)
            longest = max(
                (datetime.fromisoformat(str(one.returned)) - datetime.fromisoformat(one.sent))
                for one in load.history.exchanges()
            ).total_seconds()

    require_within(fault, "any answer", longest, LONGEST_ANSWER_SECONDS)
    require_within(fault, "healed", max(fault.figures["recovered"]), HEALS_WITHIN_SECONDS)
