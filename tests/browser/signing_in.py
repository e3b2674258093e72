"""Signing in, as a person does."""

from __future__ import annotations

from playwright.sync_api import Page, expect

SIGN_IN = "/ui/sign-in"


def fill_in(page: Page, token: str) -> None:
    """Send the form that stands on the page."""
    page.get_by_label("Access token").fill(token)
    page.get_by_role("button", name="Sign in").click()


def sign_in(page: Page, token: str) -> None:
    """Go to the way in, and through it."""
    page.goto(SIGN_IN)
    fill_in(page, token)
    expect(page.get_by_role("button", name="Sign out")).to_be_visible()
