"""The list of runs: sought, walked along, and acted on."""

import re

import pytest
from playwright.sync_api import Page, expect

from tests.acceptance.client import Client, outcome_of
from tests.browser.axe import serious_findings


def fail(web: Client, holder: Client, queue: str, count: int) -> list[str]:
    """Runs of the queue that have failed."""
    run_ids = [web.create(queue, "refund", maxFailures=1) for _ in range(count)]
    error = {"status": "error", "message": "no luck", "retryable": False}
    for dispatch in holder.claim(queue, limit=count):
        holder.report(outcome_of(dispatch, error))
    return run_ids


def rows(page: Page) -> list[str]:
    """The ids of the runs that are listed."""
    return [box.get_attribute("value") or "" for box in page.locator("tbody input").all()]


def test_a_list_is_followed_without_a_reload(
    page: Page, web: Client, holder: Client, queue: str
) -> None:
    first = web.create(queue, "refund")
    page.goto(f"/ui/runs?search=queue:{queue}")
    expect(page.locator("tbody tr")).to_have_count(1)

    second = web.create(queue, "refund")
    expect(page.locator("tbody tr")).to_have_count(2)
    holder.claim(queue)
    expect(page.locator(f"#run-{first}")).to_contain_text("loading")
    assert rows(page) == [second, first]


def test_failed_runs_are_retried_in_bulk(
    page: Page, web: Client, holder: Client, queue: str
) -> None:
    failed = fail(web, holder, queue, 3)
    pending = web.create(queue, "refund")
    page.goto(f"/ui/runs?search=queue:{queue}")
    page.get_by_role("button", name="Retry…").click()

    expect(page.get_by_role("status")).to_contain_text(
        re.compile(r"4\s+runs match;\s+3\s+of them can be retried")
    )
    assert {web.run(run_id)["runState"] for run_id in failed} == {"failed"}
    page.get_by_role("button", name="Retry 3 runs").click()
    expect(page.locator("#bulk")).to_contain_text(re.compile(r"3\s+runs were retried"))
    expect(page.locator("#bulk")).to_contain_text("Done.")
    assert {web.run(run_id)["runState"] for run_id in failed} == {"pending"}
    assert web.kinds(pending) == ["created"]
    page.get_by_role("link", name="Back to the list").click()
    expect(page.locator("tbody tr")).to_have_count(4)


def test_what_is_chosen_stays_chosen_however_many_come(page: Page, web: Client, queue: str) -> None:
    chosen = web.create(queue, "refund")
    page.goto(f"/ui/runs?search=queue:{queue}")
    page.locator(f"#run-{chosen} input").check()
    others = web.create_many(queue, 51)
    for _ in range(2):
        # When the second is asked for, the first has been heeded or not.
        with page.expect_response(lambda answer: answer.status == 200):
            pass

    assert rows(page) == [chosen]
    assert page.locator("tbody :checked").count() == 1
    page.locator(f"#run-{chosen} input").uncheck()
    expect(page.locator(f"#run-{others[-1]}")).to_be_visible()


def test_chosen_runs_are_aborted_by_keys_alone(page: Page, web: Client, queue: str) -> None:
    oldest, middle, newest = (web.create(queue, "refund") for _ in range(3))
    page.goto("/ui/runs")
    page.keyboard.press("/")
    page.keyboard.type(f"queue:{queue}")
    page.keyboard.press("Enter")
    expect(page.locator("tbody tr")).to_have_count(3)
    for key in "jxjx":
        page.keyboard.press(key)
    expect(page.locator("tbody :checked")).to_have_count(2)
    page.keyboard.press("a")

    expect(page.get_by_role("status")).to_contain_text(
        re.compile(r"2\s+runs match;\s+2\s+of them can be aborted")
    )
    page.keyboard.type("wrong batch")
    page.keyboard.press("Enter")
    expect(page.locator("#bulk")).to_contain_text(re.compile(r"2\s+runs were aborted"))
    states = [web.run(run_id)["runState"] for run_id in (oldest, middle, newest)]
    assert states == ["pending", "aborted", "aborted"]
    assert web.events(newest)[-1]["detail"]["reason"] == "wrong batch"


def test_what_is_chosen_stays_chosen_while_the_list_changes(
    page: Page, web: Client, queue: str
) -> None:
    chosen = web.create(queue, "refund")
    page.goto(f"/ui/runs?search=queue:{queue}")
    page.get_by_label(f"Choose {chosen}").check()
    web.create(queue, "refund")

    expect(page.locator("tbody tr")).to_have_count(2)
    expect(page.get_by_label(f"Choose {chosen}")).to_be_checked()
    expect(page.locator("tbody :checked")).to_have_count(1)


def test_a_whole_id_leads_to_its_run(page: Page, web: Client, queue: str) -> None:
    run_id = web.create(queue, "refund")
    page.goto("/ui/access")
    page.keyboard.press("/")
    page.keyboard.type(run_id.upper())
    page.keyboard.press("Enter")

    expect(page).to_have_url(re.compile(f"/ui/runs/{run_id}$"))


def test_an_id_is_copied(page: Page, web: Client, queue: str) -> None:
    run_id = web.create(queue, "refund")
    page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    page.goto(f"/ui/runs?search=queue:{queue}")
    page.get_by_label(f"Copy {run_id}").click()

    expect(page.get_by_label(f"Copy {run_id}")).to_have_attribute("data-copied", "")
    assert page.evaluate("navigator.clipboard.readText()") == run_id


@pytest.mark.parametrize("path", ["/ui/runs", "/ui/runs?search=queue:{queue}", "{bulk}"])
def test_anybody_can_use_the_lists_of_runs(
    page: Page, web: Client, holder: Client, queue: str, path: str
) -> None:
    fail(web, holder, queue, 2)
    bulk = f"/ui/runs/bulk?act=abort&search=queue:{queue}"
    page.goto(path.format(queue=queue, bulk=bulk))
    page.locator("details").evaluate_all("all => all.forEach((one) => { one.open = true; })")

    assert serious_findings(page) == []


def test_a_large_act_goes_on_by_itself_round_by_round(page: Page, web: Client, queue: str) -> None:
    count = 1_000
    web.create_many(queue, count, "refund")
    page.goto(f"/ui/runs/bulk?act=abort&search=queue:{queue}")
    rounds = []
    page.on("request", lambda asked: rounds.append(asked.url) if asked.method == "POST" else None)
    page.get_by_role("button", name="Abort 1,000 runs").click()

    expect(page.locator("#bulk")).to_contain_text(re.compile(r"1,000\s+runs were aborted"))
    expect(page.locator("#bulk")).to_contain_text("Done.")
    assert len(rounds) > 1
    assert web.count(queue, "aborted") == count
