"""A client that repeats every request until it is answered."""

import random
import time
from collections.abc import Callable, Mapping
from typing import Any

import httpx2

from tests.acceptance.client import Client, Json
from tests.acceptance.waiting import PATIENCE_SECONDS
from tests.chaos.history import result_of

LONGEST_PAUSE_SECONDS = 0.1


class RepeatingClient:
    """Sends the same bytes under the same key until it hears what came of them."""

    def __init__(
        self, url: str, token: str, meanwhile: Callable[[], object] = lambda: None
    ) -> None:
        """
        Args:
            meanwhile: Called before each repeat.
        """
        self._client = Client(url, token)
        self._meanwhile = meanwhile

    def close(self) -> None:
        self._client.close()

    def ask(
        self, method: str, path: str, body: Any, headers: Mapping[str, str] | None = None
    ) -> Json:
        """Send a request that must succeed in the end, and return its answer."""
        deadline = time.monotonic() + PATIENCE_SECONDS
        while True:
            answer = self._try(method, path, body, headers)
            if answer is not None:
                assert answer.is_success, f"{method} {path}: {answer.status_code} {answer.text}"
                parsed: Json = answer.json()
                return parsed
            assert time.monotonic() < deadline, f"{method} {path} was never answered"
            self._meanwhile()
            time.sleep(random.uniform(0, LONGEST_PAUSE_SECONDS))

    def _try(
        self, method: str, path: str, body: Any, headers: Mapping[str, str] | None
    ) -> httpx2.Response | None:
        try:
            answer = self._client.send(method, path, body, headers=headers)
        except httpx2.TransportError:
            return None
        return None if result_of(answer.status_code) == "unknown" else answer
