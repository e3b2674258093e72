"""
Runs of random definitions, led at random through the HTTP face of two orchestrators.

Whatever is asked by clients, operators and executors, in whatever order, by a holder or by
one who has lost its lease, once or again: the answer and the run are what the model says, and
the audit finds nothing in the ledger. `DIBS_MODEL_EXAMPLES` says how many examples (20,000 is
the long run), `DIBS_SEED` repeats what a failed run has printed. Hypothesis keeps what failed
in `.hypothesis` and tries it first the next time; elsewhere `DIBS_REPRODUCE="6.170.15 AXic…"` does,
with the two words that it prints for `@reproduce_failure`.
"""

from __future__ import annotations

import os
import random
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from hypothesis import HealthCheck, Phase, reproduce_failure, seed, settings
from hypothesis.database import DirectoryBasedExampleDatabase
from hypothesis.stateful import run_state_machine_as_test

from tests.chaos.fault import Fault
from tests.database import Database
from tests.integration.face import Face
from tests.integration.gathered import patient
from tests.integration.machine.place import Place
from tests.integration.machine.runs import Runs

EXAMPLES = int(os.environ.get("DIBS_MODEL_EXAMPLES") or 500)
STEPS = int(os.environ.get("DIBS_MODEL_STEPS") or 10)


@pytest.fixture
def place(module_database: Database, face: Face) -> Iterator[Place]:
    with (
        patient(module_database, face.owner),
        closing(Place(module_database, face.owner)) as place,
    ):
        yield place


@pytest.mark.fault("model")
@pytest.mark.timeout(60 + 2 * EXAMPLES)
def test_whatever_is_asked_in_whatever_order_runs_are_as_the_model_says(
    place: Place, pytestconfig: pytest.Config, fault: Fault
) -> None:
    number = int(os.environ.get("DIBS_SEED") or random.randrange(2**32))
    print(f"DIBS_SEED={number} DIBS_MODEL_EXAMPLES={EXAMPLES}")  # noqa: T201 - shown on failure
    machine = type("RunsOfOnePlace", (Runs,), {"place": place})
    if told := os.environ.get("DIBS_REPRODUCE"):
        version, example = told.split()
        machine = reproduce_failure(version, example.encode())(machine)

    run_state_machine_as_test(
        seed(number)(machine),
        settings=settings(
            max_examples=EXAMPLES,
            stateful_step_count=STEPS,
            deadline=None,
            database=DirectoryBasedExampleDatabase(
                Path(pytestconfig.rootpath, ".hypothesis", "examples")
            ),
            phases=[Phase.reuse, Phase.generate, Phase.shrink],
            print_blob=True,
            suppress_health_check=list(HealthCheck),
        ),
    )
    fault.note(f"{EXAMPLES:,} examples of up to {STEPS} steps, DIBS_SEED={number}")
