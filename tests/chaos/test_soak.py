"""A soak of seconds: it ends by itself, and says what was at its start, middle and end."""

from __future__ import annotations

import io
import random
from pathlib import Path

import pytest
from rich.console import Console

from orchestrator.dev.embedded import EmbeddedPostgres
from tests.chaos import soak
from tests.chaos.building import site_on
from tests.chaos.fault import Fault
from tests.chaos.judgement import judge
from tests.chaos.size import sized
from tests.chaos.soak import SAMPLES, Soak, table_of
from tests.database import Template

MINUTES = sized(0.1, 10)
LEASE_SECONDS = sized(2, soak.LEASE_SECONDS)


@pytest.mark.fault("F59")
def test_a_soak_ends_and_tells_memory_tables_and_p99(
    durable_postgres: EmbeddedPostgres,
    durable_template: Template,
    tmp_path: Path,
    chance: random.Random,
    seed: int,
    fault: Fault,
) -> None:
    said = io.StringIO()
    with site_on(
        durable_postgres,
        durable_template,
        tmp_path,
        seed=seed,
        executors=2,
        lease_seconds=LEASE_SECONDS,
    ) as site:
        samples = Soak(site, chance, MINUTES, Console(file=said)).run()
        judge(site, fault)

    fault.injected(said.getvalue().count("killed: "))
    for name, *figures in table_of(samples).rows:
        fault.note(f"{name}: {', '.join(figures)} (start, middle, end)")
    # A blow that takes long leaves less time for samples.
    assert 3 <= len(samples) <= SAMPLES
    assert all(sample.server_mb > 0 and sample.executor_mb > 0 for sample in samples)
    assert samples[-1].runs > samples[0].runs
