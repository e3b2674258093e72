"""Dark, light, or as the system has it."""

import pytest
from playwright.sync_api import Page, expect

LIGHT, DARK = "rgb(245, 247, 250)", "rgb(15, 18, 23)"


def ground_of(page: Page) -> str:
    return str(page.evaluate("getComputedStyle(document.body).backgroundColor"))


@pytest.mark.parametrize(("system", "ground"), [("light", LIGHT), ("dark", DARK)])
def test_a_page_is_as_the_system_has_it_until_somebody_chooses(
    page: Page, system: str, ground: str
) -> None:
    page.emulate_media(color_scheme="light" if system == "light" else "dark")
    page.goto("/ui/access")
    button = page.locator("#theme")

    assert ground_of(page) == ground
    for theme, chosen in (("dark", DARK), ("light", LIGHT)):
        button.click()
        expect(button).to_have_attribute("aria-label", f"Colours: {theme}")
        assert ground_of(page) == chosen
        page.goto("/ui/access")
        assert ground_of(page) == chosen
    button.click()
    assert ground_of(page) == ground


def test_it_is_chosen_before_anything_is_shown(page: Page) -> None:
    page.evaluate("localStorage.setItem('theme', 'light')")
    page.goto("/ui/access")
    blocking = page.evaluate(
        "[...document.scripts].filter((s) => !s.defer && !s.async).map((s) => s.src)"
    )

    assert len(blocking) == 1
    assert "/theme." in blocking[0]
    assert page.evaluate("document.documentElement.dataset.theme") == "light"
