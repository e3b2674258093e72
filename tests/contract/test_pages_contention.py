"""The page of contention: what this server counts, and how the database is."""

from __future__ import annotations

import re

import pytest

from orchestrator.lifecycle import Role
from tests.acceptance.client import Client
from tests.acceptance.stage import Stage
from tests.acceptance.waiting import eventually
from tests.contract.browser import Browser
from tests.contract.test_pages_content import INLINE

PATH = "/ui/contention"


@pytest.fixture
def viewer(browser: Browser, stage: Stage) -> Browser:
    browser.sign_in(stage.tokens[Role.VIEWER])
    return browser


def figure(page: str, name: str) -> str:
    found = re.search(rf"<dt>{name}</dt><dd[^>]*>([^<]*)", page)
    assert found is not None, name
    return found[1].strip()


def test_claims_are_told_once_there_were_some(
    viewer: Browser, web: Client, holder: Client, queue: str
) -> None:
    viewer.open(PATH)

    def told() -> str | None:
        web.create(queue)
        holder.claim(queue)
        page = viewer.open(PATH).text
        return page if figure(page, "Commits per claim") != "–" else None

    page = eventually(told)
    assert figure(page, "p99 of a transaction").endswith("s")
    assert not INLINE.search(page)


def test_a_refusal_is_told_by_its_code(
    viewer: Browser, web: Client, ops: Client, queue: str
) -> None:
    viewer.open(PATH)
    run_id = web.create(queue)
    ops.ask("POST", f"/v1/runs/{run_id}/abort")

    def told() -> bool:
        web.send("POST", f"/v1/runs/{run_id}/abort")
        return "<code>run-over</code>" in viewer.open(PATH).text

    eventually(told)


def test_the_database_and_the_keeper_are_told(viewer: Browser) -> None:
    page = viewer.open(PATH).text

    for table in ("workflowRuns", "runEvents", "workflowSteps", "claimRequests"):
        assert f'<th scope="row">{table}</th>' in page
    assert figure(page, "Since the keeper's last tick").endswith(" s")
    assert figure(page, "Old snapshots") == "none"
    for pool in ("work", "leases", "access"):
        assert re.search(rf"<dt>{pool}</dt>\s*<dd>\d+ of \d+", page)
