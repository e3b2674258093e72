"""The alarm: what no thread could be had for does not keep later ones from ringing."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping

import pytest

from orchestrator.desk.alarm import Alarm
from tests.acceptance.waiting import eventually
from tests.integration.threads import no_thread_to_be_had


@pytest.fixture
def draining() -> Iterator[threading.Event]:
    draining = threading.Event()
    yield draining
    draining.set()


def test_one_for_which_no_thread_could_be_had_fails_nobody_and_the_next_rings(
    draining: threading.Event,
) -> None:
    rung: list[Mapping[str, int]] = []
    alarm = Alarm(rung.append, draining)
    with no_thread_to_be_had("alarm"):
        alarm.set("billing", after_seconds=0.0, runs=1)
    alarm.set("billing", after_seconds=0.0, runs=2)
    eventually(lambda: rung == [{"billing": 2}])
