"""The page of the audit: who sees which acts, narrowed and page by page."""

from __future__ import annotations

import re
from typing import Any

import psycopg
import pytest

from orchestrator.lifecycle import Role
from orchestrator.pages.audit import ACTS_SHOWN, LINES_SEARCHED
from tests.acceptance.client import Client
from tests.acceptance.stage import Stage, make_token
from tests.contract.browser import Browser
from tests.contract.test_pages_content import INLINE, NASTY

PATH = "/ui/audit"


@pytest.fixture
def viewer(browser: Browser, stage: Stage) -> Browser:
    browser.sign_in(stage.tokens[Role.VIEWER])
    return browser


def pause(ops: Client, queue: str, times: int = 1) -> None:
    for _ in range(times):
        ops.ask("POST", f"/v1/queues/{queue}/pause")


def acts_of(page: str) -> list[str]:
    return re.findall(r'<tr id="act-([0-9a-f-]+)"', page)


def earlier(page: str) -> str | None:
    found = re.search(r'href="([^"]+)" rel="next"', page)
    return found[1].replace("&amp;", "&") if found else None


def test_an_act_is_shown_with_who_did_what_to_what(
    viewer: Browser, web: Client, ops: Client, queue: str
) -> None:
    run_id = web.create(queue)
    ops.ask("POST", f"/v1/runs/{run_id}/abort", {"reason": NASTY})
    page = viewer.open(f"{PATH}?subject={run_id}").text
    [line] = ops.ask("GET", f"/v1/audit?subject={run_id}")["items"]

    assert acts_of(page) == [line["id"]]
    assert f'href="/ui/runs/{run_id}"' in page
    assert "abort-run" in page
    assert not INLINE.search(page)


def test_what_was_done_to_a_queue_leads_to_it(viewer: Browser, ops: Client, queue: str) -> None:
    pause(ops, queue)

    assert f'href="/ui/queues#queue-{queue}"' in viewer.open(f"{PATH}?subject={queue}").text


def test_filters_stand_in_the_address_and_narrow(viewer: Browser, ops: Client, queue: str) -> None:
    pause(ops, queue)
    ops.ask("POST", f"/v1/queues/{queue}/resume")

    def shown(**asked: str) -> int:
        query = "&".join(f"{name}={value}" for name, value in asked.items())
        return len(acts_of(viewer.open(f"{PATH}?{query}").text))

    assert shown(subject=queue) == 2
    assert shown(subject=queue, kind="pause-queue") == 1
    assert shown(subject=queue, actor=Role.OPERATOR, kind="") == 2
    assert shown(subject=queue, actor="nobody") == 0
    page = viewer.open(f"{PATH}?subject={queue}&kind=pause-queue").text
    assert "<option selected>pause-queue</option>" in page
    assert f'name="subject" value="{queue}"' in page


def test_pages_go_on_where_the_one_before_ended(viewer: Browser, ops: Client, queue: str) -> None:
    pause(ops, queue, ACTS_SHOWN + 2)
    first = viewer.open(f"{PATH}?subject={queue}").text
    next_path = earlier(first)
    assert next_path is not None
    second = viewer.open(next_path).text

    ids = acts_of(first) + acts_of(second)
    assert len(ids) == len(set(ids)) == ACTS_SHOWN + 2
    assert ids == sorted(ids, reverse=True)
    assert earlier(second) is None
    assert viewer.open(next_path.replace(f"subject={queue}", "subject=x")).status_code == 422


@pytest.mark.parametrize("asked", ["kind=none", "cursor=x", "other=1", "actor=%00", "limit=0"])
def test_what_cannot_be_asked_for_is_refused(viewer: Browser, asked: str) -> None:
    assert viewer.open(f"{PATH}?{asked}").status_code == 422


@pytest.fixture
def long_ago(owner: psycopg.Connection[Any], queue: str) -> str:
    """A subject of whom the ledger has one line, older than as many as one look goes through."""
    owner.execute(
        """
INSERT INTO "operatorActs" (id, at, actor, kind, subject, queue, detail)
SELECT lpad(to_hex(n), 32, '0')::uuid, now() - interval '1 day', 'long-ago', 'pause-queue',
       CASE n WHEN 1 THEN %(subject)s ELSE 'other' END, %(subject)s, '{}'
  FROM generate_series(1, %(lines)s) AS n
""",
        {"subject": queue, "lines": LINES_SEARCHED + 10},
    )
    return queue


def test_no_look_goes_further_than_it_says_and_the_next_goes_on(
    viewer: Browser, long_ago: str
) -> None:
    first = viewer.open(f"{PATH}?subject={long_ago}").text
    next_path = earlier(first)
    assert next_path is not None

    assert acts_of(first) == []
    assert f"in the newest {LINES_SEARCHED} lines" in first
    assert len(acts_of(viewer.open(next_path).text)) == 1


def test_acts_on_other_queues_are_not_shown(
    browser: Browser, stage: Stage, ops: Client, queue: str
) -> None:
    browser.sign_in(make_token(stage.database, f"some-{queue}", Role.VIEWER, (f"mine-{queue}",)))
    pause(ops, queue)
    pause(ops, f"mine-{queue}")
    page = browser.open(PATH).text

    assert len(acts_of(page)) == 1
    assert f"mine-{queue}" in page
    assert acts_of(browser.open(f"{PATH}?subject={queue}").text) == []
