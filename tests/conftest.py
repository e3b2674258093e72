"""What every test may ask for."""

import os
from collections.abc import Iterator
from dataclasses import asdict

import pytest
from xdist.remote import Producer
from xdist.workermanage import WorkerController

from tests.command_line import CommandLine
from tests.database import (
    Database,
    Source,
    Template,
    choose_source,
    fresh_database,
    pooled,
    template_on,
)
from tests.workers import Units, turn_of

pytest_plugins = ("tests.chaos.plugin",)

# Its assertions are written as tests' own, and should say as much when they fail.
pytest.register_assert_rewrite("tests.hostile")

REQUIRE = "DIBS_TEST_REQUIRE"
# How a test says that the machine forbids what it needs, and nothing that is installed helps.
NOT_ALLOWED = "not allowed here:"

source_key = pytest.StashKey[Source]()


def pytest_report_collectionfinish(config: pytest.Config, items: list[pytest.Item]) -> str:
    """Say which Postgres the tests use, before the first of them."""
    if not any("template" in getattr(item, "fixturenames", ()) for item in items):
        return "Postgres: not needed by these tests"
    return f"Postgres: {_source(config).description}"


def pytest_report_header(config: pytest.Config) -> str | None:
    """Say it here when workers run the tests: they collect them, and print nothing."""
    shared = config.getoption("numprocesses", None)
    return f"Postgres: {_source(config).description}, one for each worker" if shared else None


@pytest.hookimpl(optionalhook=True)
def pytest_configure_node(node: WorkerController) -> None:
    """Tell a worker which Postgres to use: looking for one may take a minute."""
    node.workerinput["postgres"] = asdict(_source(node.config))


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Producer) -> Units:
    """Share the tests out by module."""
    return Units(config, log)


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Let a worker's longest begin first."""
    if hasattr(config, "workerinput"):
        items.sort(key=lambda item: turn_of(item.nodeid))


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo[None]) -> Iterator[None]:
    """With `DIBS_TEST_REQUIRE=all`, what cannot run here is a failure, unless it is forbidden."""
    report: pytest.TestReport = yield
    if report.skipped and not hasattr(report, "wasxfail") and os.environ.get(REQUIRE) == "all":
        if _reason(report).startswith(NOT_ALLOWED):
            return report
        report.outcome = "failed"
        report.longrepr = f"{REQUIRE}=all, but: {_reason(report)}"
    return report


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """One line with all that this machine could not run, and what to install."""
    skipped = terminalreporter.stats.get("skipped", [])
    if skipped:
        reasons = sorted({_reason(report) for report in skipped})
        terminalreporter.write_line(f"Not run here: {len(skipped)} tests ({'; '.join(reasons)})")


@pytest.fixture(scope="session")
def template(pytestconfig: pytest.Config) -> Iterator[Template]:
    """The database that each test's own is copied from."""
    source = _source(pytestconfig)
    with source.run() as owner_url, template_on(owner_url, shared=source.shared) as template:
        if not source.pooled:
            yield template
            return
        with pooled(template) as behind_pooler:
            yield behind_pooler


@pytest.fixture
def database(template: Template) -> Iterator[Database]:
    """A database of the test's own: the schema at head, nothing in it."""
    with fresh_database(template) as database:
        yield database


@pytest.fixture
def command_line(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> CommandLine:
    """The `dibs` command."""
    return CommandLine(monkeypatch, capsys)


def _source(config: pytest.Config) -> Source:
    """The Postgres of this session: chosen once, by the process that was started."""
    if source_key not in config.stash:
        told = getattr(config, "workerinput", None)
        try:
            config.stash[source_key] = Source(**told["postgres"]) if told else choose_source()
        except ValueError as error:
            raise pytest.UsageError(str(error)) from error
    return config.stash[source_key]


def _reason(report: pytest.TestReport) -> str:
    longrepr = report.longrepr
    reason = longrepr[2] if isinstance(longrepr, tuple) else str(longrepr)
    return reason.removeprefix("Skipped: ")
