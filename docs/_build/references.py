"""The pages that are made from the code, by their names."""

from __future__ import annotations

from collections.abc import Callable

from docs._build import api, commands, problems, settings

REFERENCES: dict[str, Callable[[], str]] = {
    "api.md": api.page,
    "commands.md": commands.page,
    "problems.md": problems.page,
    "settings.md": settings.page,
}
