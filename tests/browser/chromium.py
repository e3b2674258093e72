"""Chromium, as Debian and others package it; Playwright's own download is not wanted."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager

from playwright.sync_api import Browser, sync_playwright

PROGRAMS = ("chromium", "chromium-browser", "google-chrome")
LACKING = "install chromium (apt-get install chromium)"
# A container's /dev/shm is small.
OPTIONS = ("--disable-dev-shm-usage", "--disable-gpu")


def program() -> str | None:
    """Where it is; None when there is none."""
    found = (shutil.which(name) for name in PROGRAMS)
    return next((path for path in found if path is not None), None)


@contextmanager
def running(path: str) -> Iterator[Browser]:
    """One Chromium, which ends with the block, and Playwright's event loop with it."""
    # It refuses to have its sandbox as root.
    options = [*OPTIONS, "--no-sandbox"] if os.geteuid() == 0 else [*OPTIONS]
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=options)
        try:
            yield browser
        finally:
            browser.close()
