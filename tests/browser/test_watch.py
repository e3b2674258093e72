"""What goes wrong in a browser is heard by the tests that look at something else."""

import pytest
from playwright.sync_api import Browser, Page

from tests.acceptance.stage import Stage
from tests.acceptance.waiting import eventually
from tests.browser.axe import SCHEMES, serious_findings
from tests.browser.watch import Watch

HEARD = {
    "console.error('a word')": "console: a word",
    "setTimeout(() => { throw new Error('a failure') })": "page: a failure",
    "new Image().src = 'http://127.0.0.2:1/'": "request to http://127.0.0.2:1/",
}


@pytest.mark.parametrize("script", HEARD)
def test_what_goes_wrong_is_heard(browser: Browser, stage: Stage, script: str) -> None:
    # Without the pages' policy, which would not let it ask anybody else.
    context = browser.new_context(bypass_csp=True)
    watch = Watch(context, stage.orchestrator.url)
    page = context.new_page()
    page.goto(f"{stage.orchestrator.url}/ui/sign-in")
    page.evaluate(f"() => {{ {script} }}")

    def heard() -> bool:
        page.evaluate("() => 0")
        return any(complaint.startswith(HEARD[script]) for complaint in watch.complaints)

    eventually(heard, what=HEARD[script])
    context.close()


def test_what_cannot_be_read_is_found_in_both_schemes(page: Page) -> None:
    page.goto("/ui/access")
    assert serious_findings(page) == []
    page.evaluate("document.querySelector('h1').style.color = 'rgb(128 128 128 / 0.2)'")
    found = serious_findings(page)

    assert [line.partition(": color-contrast: <h1 ")[0] for line in found] == [*SCHEMES]
