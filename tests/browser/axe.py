"""What axe finds in a page that keeps somebody from using it."""

from __future__ import annotations

from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Page

SCHEMES = ("dark", "light")

_SERIOUS = ("serious", "critical")


def serious_findings(page: Page) -> list[str]:
    """The serious and the critical ones in both colour schemes, a line for each element."""
    axe = Axe()
    found = []
    for scheme in SCHEMES:
        page.emulate_media(color_scheme=scheme, reduced_motion="reduce")
        for violation in axe.run(page).response["violations"]:
            if violation["impact"] in _SERIOUS:
                found += [
                    f"{scheme}: {violation['id']}: {node['html']}: {node['failureSummary']}"
                    for node in violation["nodes"]
                ]
    return found
