"""The first page, looked at while things happen."""

import re

from playwright.sync_api import Page, expect

from tests.acceptance.client import Client, outcome_of
from tests.browser.axe import serious_findings


def test_what_needs_attention_leads_to_where_to_act(
    page: Page, web: Client, holder: Client, queue: str
) -> None:
    web.create(queue, "refund")
    unknown = web.create(queue, "refund")
    [first, _] = holder.claim(queue, limit=2)
    holder.report(outcome_of(first, {"status": "unknown", "message": "no answer"}))
    web.create(queue, "refund")
    page.goto("/ui")
    attention = page.locator(".attention")

    expect(attention).to_contain_text("Outcome unknown")
    row = attention.locator("li", has_text=queue)
    expect(row).to_contain_text("Nobody serves")
    row.get_by_role("link").click()
    expect(page.locator("tbody tr")).to_have_count(1)
    page.goto("/ui")
    attention.get_by_role("link", name="Resolve").click()
    expect(page.locator("tbody")).to_contain_text("outcome-unknown")
    assert unknown != first["run"]["id"]
    expect(page.locator(f"#run-{first['run']['id']}")).to_be_visible()


def test_the_charts_show_what_happened_as_lines_and_as_a_table(
    page: Page, ops: Client, web: Client, queue: str
) -> None:
    page.goto("/ui?span=day")
    throughput = page.locator("#chart-throughput")

    assert throughput.locator("polyline").count() == 3
    page.get_by_text("As a table").click()
    expect(page.locator("#numbers tbody tr")).to_have_count(24)
    expect(page.get_by_role("columnheader")).to_have_text(
        ["From (UTC)", "Created", "Finished", "Failed", "Pending, at most"]
    )
    page.get_by_role("link", name="7 d").click()
    expect(page).to_have_url(re.compile("span=week$"))
    expect(page.locator("#chart-depth polyline")).to_have_count(1)


def test_the_numbers_follow_what_happens_without_a_reload(
    page: Page, web: Client, queue: str
) -> None:
    page.goto("/ui")
    loads: list[str] = []
    page.on("load", lambda _: loads.append(page.url))
    expect(page.locator(".attention", has_text=queue)).to_have_count(0)
    web.create(queue, "refund")

    expect(page.locator(".attention")).to_contain_text(queue)
    assert loads == []


def test_anybody_can_use_the_overview(page: Page, web: Client, queue: str) -> None:
    web.create(queue, "refund")
    page.goto("/ui")
    page.locator("details").evaluate_all("all => all.forEach((one) => { one.open = true; })")

    assert serious_findings(page) == []
