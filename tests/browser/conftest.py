"""A real orchestrator, and a real browser that looks at its pages."""

from __future__ import annotations

import itertools
import re
from collections.abc import Generator, Iterator
from contextlib import closing
from pathlib import Path

import pytest
from playwright.sync_api import Browser, BrowserContext, Page, expect

from orchestrator.lifecycle import Role
from tests.acceptance.callers import holder, ops, web  # noqa: F401 - fixtures
from tests.acceptance.stage import Fleet, Stage, check_all_ledgers, stage_on
from tests.browser import chromium
from tests.browser.signing_in import sign_in
from tests.browser.watch import Watch
from tests.database import Template, fresh_database

FOLDER = Path(__file__).parent
PATIENCE_MS = 30_000
SHOWN_BYTES = 6_000

numbers = itertools.count(1)


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "browser: a page in Chromium; `-m browser` runs only these")


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """All that stands in this folder needs a browser, so that no module can forget to say so."""
    for item in items:
        if FOLDER in item.path.parents:
            item.add_marker(pytest.mark.browser)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Show what the page said and the end of the orchestrator's log beside a failure."""
    report = yield
    stage = getattr(item, "funcargs", {}).get("stage")
    if report.failed and isinstance(stage, Stage):
        end = stage.orchestrator.log_file.read_bytes()[-SHOWN_BYTES:].decode(errors="replace")
        report.sections.append(("end of the orchestrator's log", end))
    page = getattr(item, "funcargs", {}).get("page")
    if report.failed and isinstance(page, Page) and not page.is_closed():
        report.sections.append((f"the page at {page.url}", page.inner_text("body")[-SHOWN_BYTES:]))
    return report


# For the package alone: while Playwright runs, no other test could have an event loop.
@pytest.fixture(scope="package")
def browser() -> Iterator[Browser]:
    """One Chromium for all tests."""
    path = chromium.program()
    if path is None:
        pytest.skip(chromium.LACKING)
    expect.set_options(timeout=PATIENCE_MS)
    with chromium.running(path) as browser:
        yield browser


@pytest.fixture(scope="package")
def stage(
    browser: Browser, template: Template, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Stage]:
    """One orchestrator for all tests; at the end every run's ledger is checked."""
    with (
        fresh_database(template) as database,
        stage_on(database, tmp_path_factory.mktemp("stage")) as stage,
    ):
        yield stage
        check_all_ledgers(database)


@pytest.fixture
def queue(request: pytest.FixtureRequest) -> str:
    """A queue of the test's own."""
    name = re.sub(r"[^a-z0-9]+", "-", request.node.originalname.removeprefix("test_"))
    return f"{name[:48].strip('-')}-{next(numbers)}"


@pytest.fixture
def fleet(stage: Stage, queue: str, tmp_path: Path) -> Iterator[Fleet]:
    """Executors with the handlers of the acceptance tests, for the test's own queue."""
    with closing(Fleet(stage, queue, tmp_path)) as fleet:
        yield fleet


@pytest.fixture
def context(browser: Browser, stage: Stage) -> Iterator[BrowserContext]:
    """A browser of the test's own, with no cookie yet."""
    context = browser.new_context(base_url=stage.orchestrator.url)
    context.set_default_timeout(PATIENCE_MS)
    try:
        yield context
    finally:
        context.close()


@pytest.fixture
def watch(context: BrowserContext, stage: Stage) -> Iterator[Watch]:
    """No error and no request to another host, in any page of the test's browser."""
    watch = Watch(context, stage.orchestrator.url)
    yield watch
    assert watch.complaints == []


@pytest.fixture
def stranger(context: BrowserContext, watch: Watch) -> Page:
    """A page of a browser in which nobody has signed in."""
    return context.new_page()


@pytest.fixture
def page(stranger: Page, stage: Stage) -> Page:
    """A page of an operator who has signed in."""
    sign_in(stranger, stage.tokens[Role.OPERATOR])
    return stranger
