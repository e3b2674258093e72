"""Somebody who looks at a page: signs in, and asks again every two seconds, as the page does."""

import re
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from urllib.parse import urlencode

import httpx2

from orchestrator.dev.ports import LOOPBACK
from orchestrator.pages.template import LIVE_HEADER
from tests.bench.failure import BenchError

POLL_SECONDS = 2.0
ANSWER_SECONDS = 30.0
_TAG = re.compile(r'data-etag="(\w+)"')


class Viewer:
    """One browser's requests, without the browser."""

    def __init__(self, port: int, token: str) -> None:
        self._url = f"http://{LOOPBACK}:{port}"
        self._http = httpx2.Client(base_url=self._url, timeout=ANSWER_SECONDS, trust_env=False)
        headers = {
            "Origin": self._url,
            "Sec-Fetch-Site": "same-origin",
            "Content-Type": "application/x-www-form-urlencoded",
        }
        answer = self._http.post(
            "/ui/sign-in", content=urlencode({"token": token}), headers=headers
        )
        if answer.status_code != 303:
            raise BenchError(f"signing in: {answer.status_code}")

    def close(self) -> None:
        self._http.close()

    def load(self, path: str) -> tuple[float, str]:
        """
        Load a page; the seconds it took, and the tag of what it shows of the moment.

        Raises:
            BenchError: It is no page that is looked at again.
        """
        began = time.perf_counter()
        answer = self._http.get(path)
        took_seconds = time.perf_counter() - began
        tag = _TAG.search(answer.text)
        if answer.status_code != 200 or tag is None:
            raise BenchError(f"{path}: {answer.status_code}")
        return took_seconds, tag[1]

    def look(self, path: str, ending: threading.Event, first_after_seconds: float) -> int:
        """Look at a page until told to end; how often it was asked for again."""
        _, tag = self.load(path)
        polls, wait_seconds = 0, first_after_seconds
        while not ending.wait(wait_seconds):
            headers = {LIVE_HEADER: "true", "If-None-Match": f'"{tag}"'}
            answer = self._http.get(path, headers=headers)
            if answer.status_code not in (200, 304):
                raise BenchError(f"{path}: {answer.status_code}")
            tag = answer.headers["ETag"].strip('"')
            polls, wait_seconds = polls + 1, POLL_SECONDS
        return polls


@contextmanager
def looked_at(viewers: Sequence[Viewer], paths: Sequence[str]) -> Iterator[None]:
    """
    Have each viewer look at a page meanwhile, out of step with each other.

    Raises:
        BenchError: One of them was not answered, or nobody asked again.
    """
    ending = threading.Event()
    polls: list[int] = []
    failures: list[BaseException] = []

    def look(number: int, viewer: Viewer) -> None:
        try:
            first_after = POLL_SECONDS * (number + 1) / len(viewers)
            polls.append(viewer.look(paths[number % len(paths)], ending, first_after))
        except BaseException as error:
            failures.append(error)
            raise

    threads = [
        threading.Thread(target=look, args=(number, viewer))
        for number, viewer in enumerate(viewers)
    ]
    for thread in threads:
        thread.start()
    try:
        yield
    finally:
        ending.set()
        for thread in threads:
            thread.join()
    if failures or not sum(polls):
        raise BenchError(f"the viewers saw nothing: {failures}")
