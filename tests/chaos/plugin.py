"""The frame of the tests of faults: their seed, what they write down, the table at the end.

A test names its rows by `@pytest.mark.fault("F13")`, draws what goes wrong from
`chance`, and writes down by `fault` what it did and saw.
"""

from __future__ import annotations

import os
import random
import secrets
import time
from collections.abc import Generator
from pathlib import Path
from typing import Any

import pytest
from xdist.workermanage import WorkerController

from tests.chaos.fault import Fault
from tests.chaos.outcomes import Outcome
from tests.chaos.record import write_record
from tests.chaos.rows import ROWS
from tests.chaos.table import lines_of, shown_table

SEED = "DIBS_CHAOS_SEED"
REPORT = "--chaos-report"
ROWS_PROPERTY = "fault-rows"
FIGURES_PROPERTY = "fault-figures"
WORKER_SEED = "chaos_seed"
MARKER = "fault(*rows): the rows of the list of faults that a test is about (tests/chaos/rows.py)"

seed_key = pytest.StashKey[int]()
drawn_key = pytest.StashKey[bool]()
results_key = pytest.StashKey["Results"]()


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        REPORT,
        type=Path,
        metavar="FILE",
        help="write what became of the faults: as a page when FILE ends in .md, else as JSON",
    )


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", MARKER)
    told = getattr(config, "workerinput", None)
    if told is not None:
        config.stash[seed_key] = told[WORKER_SEED]
        return
    given = os.environ.get(SEED)
    config.stash[seed_key] = int(given) if given else secrets.randbits(32)
    config.stash[results_key] = Results(config)
    config.pluginmanager.register(config.stash[results_key], "fault-results")


@pytest.hookimpl(optionalhook=True)
def pytest_configure_node(node: WorkerController) -> None:
    """Tell a worker the session's seed."""
    node.workerinput[WORKER_SEED] = node.config.stash[seed_key]


def pytest_report_header(config: pytest.Config) -> str:
    return f"faults are drawn by {SEED}={config.stash[seed_key]}"


def pytest_itemcollected(item: pytest.Item) -> None:
    """Let a test's reports say which rows it is about, wherever it runs."""
    rows = [row for marker in item.iter_markers("fault") for row in marker.args]
    unknown = set(rows) - ROWS.keys()
    if unknown:
        raise pytest.UsageError(f"{item.nodeid}: no such fault: {', '.join(sorted(unknown))}")
    if rows:
        item.user_properties.append((ROWS_PROPERTY, rows))


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Show beside a failure how to play it again."""
    report = yield
    if report.failed and drawn_key in item.stash:
        report.sections.append(("to play it again", f"{SEED}={item.config.stash[seed_key]}"))
    return report


@pytest.fixture
def chance(request: pytest.FixtureRequest) -> random.Random:
    """What this test's faults are drawn from: the session's seed and the test's name decide."""
    request.node.stash[drawn_key] = True
    return random.Random(f"{request.config.stash[seed_key]}/{request.node.nodeid}")


@pytest.fixture
def seed(chance: random.Random) -> int:
    """The same as a number, for whoever draws by himself."""
    return chance.getrandbits(32)


@pytest.fixture
def fault(request: pytest.FixtureRequest) -> Fault:
    """Where a test writes down what it did to the system, and what became of it."""
    fault = Fault()
    request.node.user_properties.append((FIGURES_PROPERTY, fault.figures))
    return fault


class Results:
    """What became of the tests of this session that are about faults."""

    def __init__(self, config: pytest.Config) -> None:
        self._config = config
        self._began_at = time.time()
        self._outcomes: dict[str, Outcome] = {}

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        told: dict[str, Any] = dict(report.user_properties)
        if ROWS_PROPERTY not in told:
            return
        outcome = self._outcomes.setdefault(
            report.nodeid,
            Outcome(report.nodeid, told[ROWS_PROPERTY], seed=self._config.stash[seed_key]),
        )
        outcome.figures = told.get(FIGURES_PROPERTY)
        outcome.seconds += report.duration
        if report.failed:
            outcome.outcome = "failed"
        elif report.skipped and outcome.outcome != "failed":
            outcome.outcome = "skipped"
            outcome.reason = _reason(report)

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        outcomes = list(self._outcomes.values())
        file: Path | None = self._config.getoption(REPORT)
        if file is None and not any(outcome.figures for outcome in outcomes):
            return
        terminalreporter.section(f"faults, {SEED}={self._config.stash[seed_key]}")
        terminalreporter.write(shown_table(outcomes))
        for line in lines_of(outcomes):
            terminalreporter.write_line(line)
        if file is not None:
            write_record(file, outcomes, began_at=self._began_at)
            terminalreporter.write_line(f"written: {file}")


def _reason(report: pytest.TestReport) -> str:
    longrepr = report.longrepr
    reason = longrepr[2] if isinstance(longrepr, tuple) else str(longrepr)
    return reason.removeprefix("Skipped: ")
