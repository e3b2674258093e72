"""Triggers: what asks several executors at once to execute the same run."""

import random
import threading
from collections import Counter
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from typing import Self

import httpx2

THREADS = 32
TRIGGERS_AT_ONCE = 4
REFUSALS = frozenset({400, 404, 409, 410})
# Busy, so asked again: no free slot, or the orchestrator away for a moment.
BUSY = frozenset({429, 503})
PAUSE_SECONDS = 0.25
CALL_TIMEOUT_SECONDS = 10.0
NO_ANSWER = 0


class Triggers:
    """
    Callers that trigger one run on several executors at once.

    Args:
        urls: The executors' HTTP faces.
        token: The callers' token.
    """

    def __init__(self, urls: Sequence[str], token: str) -> None:
        self._urls = urls
        self._over = threading.Event()
        self._answers: list[Future[int]] = []
        self._callers = ThreadPoolExecutor(THREADS)
        self._client = httpx2.Client(
            headers={"Authorization": f"Bearer {token}"},
            timeout=CALL_TIMEOUT_SECONDS,
            trust_env=False,
            limits=httpx2.Limits(max_connections=THREADS),
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._callers.shutdown(cancel_futures=True)
        self._client.close()

    def pull(self, run_id: str) -> None:
        """Trigger this run on some executors, and on one of them a second time."""
        chosen = random.sample(self._urls, min(TRIGGERS_AT_ONCE - 1, len(self._urls)))
        for url in (*chosen, chosen[0]):
            self._answers.append(self._callers.submit(self._trigger, url, run_id))

    def answers(self, within_seconds: float) -> Counter[int]:
        """The last status that each trigger was answered; those that take longer have none."""
        done, late = wait(self._answers, within_seconds)
        return Counter(answer.result() for answer in done) + Counter({NO_ANSWER: len(late)})

    def _trigger(self, url: str, run_id: str) -> int:
        while True:
            try:
                answer = self._client.post(f"{url}/runs/{run_id}/trigger", json={})
            except httpx2.TransportError:
                return NO_ANSWER
            if answer.status_code not in BUSY or self._over.wait(PAUSE_SECONDS):
                return answer.status_code
