"""The way in."""

from playwright.sync_api import Page, expect

from orchestrator.lifecycle import Role
from tests.acceptance.client import Client
from tests.acceptance.stage import Stage
from tests.browser.axe import serious_findings
from tests.browser.signing_in import SIGN_IN, fill_in
from tests.browser.watch import Watch

# What the browser itself says of an answer that refuses.
REFUSED = "status of 401"


def test_a_token_that_is_not_good_is_refused(stranger: Page, watch: Watch, stage: Stage) -> None:
    watch.tolerate(REFUSED)
    stranger.goto(SIGN_IN)
    good = stage.tokens[Role.VIEWER]
    fill_in(stranger, good[:-1] + ("a" if good[-1] != "a" else "b"))

    expect(stranger.get_by_role("alert")).to_have_text("This token is not valid.")
    assert stranger.context.cookies() == []
    stranger.goto("/ui/access")
    expect(stranger.get_by_label("Access token")).to_be_visible()


def test_a_programs_token_is_refused(stranger: Page, watch: Watch, stage: Stage) -> None:
    watch.tolerate("status of 403")
    stranger.goto(SIGN_IN)
    fill_in(stranger, stage.tokens[Role.CLIENT])

    expect(stranger.get_by_role("alert")).to_contain_text("is a program's")
    assert stranger.context.cookies() == []


def test_a_link_to_a_run_leads_there_by_way_of_signing_in(
    stranger: Page, watch: Watch, stage: Stage, web: Client, queue: str
) -> None:
    watch.tolerate(REFUSED)
    run_id = web.create(queue)
    stranger.goto(f"/ui/runs/{run_id}")
    fill_in(stranger, stage.tokens[Role.VIEWER])

    expect(stranger.get_by_text(run_id).first).to_be_visible()
    assert stranger.url.endswith(f"/ui/runs/{run_id}")


def test_anybody_can_use_the_way_in(stranger: Page) -> None:
    stranger.goto(SIGN_IN)

    assert serious_findings(stranger) == []
