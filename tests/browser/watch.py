"""What must not happen in a browser while a test looks at something else."""

from __future__ import annotations

from playwright.sync_api import BrowserContext, ConsoleMessage, Request, WebError


class Watch:
    """
    Listens to all pages of a context: errors, and requests to anybody else.

    Attributes:
        complaints: What was heard, in words.
    """

    def __init__(self, context: BrowserContext, url: str) -> None:
        self.complaints: list[str] = []
        self._ours = f"{url}/"
        self._tolerated: list[str] = []
        context.on("console", self._hear)
        context.on("weberror", self._fail)
        context.on("request", self._see)

    def tolerate(self, text: str) -> None:
        """Expect what is said with this text: the browser says so of a refusal, too."""
        self._tolerated.append(text)

    def _hear(self, said: ConsoleMessage) -> None:
        if said.type in ("error", "warning"):
            self._complain(f"console: {said.text}")

    def _fail(self, failure: WebError) -> None:
        self._complain(f"page: {failure.error}")

    def _see(self, asked: Request) -> None:
        if not asked.url.startswith((self._ours, "data:")):
            self._complain(f"request to {asked.url}")

    def _complain(self, complaint: str) -> None:
        if not any(text in complaint for text in self._tolerated):
            self.complaints.append(complaint)
