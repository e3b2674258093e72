"""One request on a connection of its own, as that executor sends them."""

from __future__ import annotations

import http.client
import json
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from tests.compat.double.journal import ASKED, Journal


@dataclass(frozen=True)
class Answer:
    """
    What came back.

    Attributes:
        status: None when nothing came.
        body: What was sent, as it was; empty is no JSON.
    """

    status: int | None
    body: bytes = b""

    @property
    def is_success(self) -> bool:
        return self.status is not None and 200 <= self.status < 300

    def json(self) -> Any:
        """
        Raises:
            ValueError: It is no JSON, or empty.
        """
        return json.loads(self.body)


@dataclass(frozen=True)
class Way:
    """
    How one server is reached.

    Attributes:
        to: What it is called in the journal.
    """

    to: str
    url: str
    journal: Journal
    timeout_seconds: float
    latency_seconds: float = 0.0
    source_host: str = "127.0.0.1"

    def send(
        self,
        method: str,
        path: str,
        headers: Mapping[str, str],
        body: Any = None,
        *,
        number: int | None = None,
    ) -> Answer:
        """Ask once; half of the latency is on either way."""
        number = self.journal.number() if number is None else number
        time.sleep(self.latency_seconds / 2)
        answer = self._exchange(method, path, headers, body)
        time.sleep(self.latency_seconds / 2)
        self.journal.write(
            ASKED,
            n=number,
            to=self.to,
            method=method,
            path=path,
            headers=dict(headers),
            body=body,
            status=answer.status,
            answer=answer.body.decode(errors="replace"),
        )
        return answer

    def _exchange(self, method: str, path: str, headers: Mapping[str, str], body: Any) -> Answer:
        content = None if body is None else json.dumps(body, separators=(",", ":")).encode()
        typed = {"Content-Type": "application/json"} if content is not None else {}
        connection = http.client.HTTPConnection(
            urlsplit(self.url).netloc,
            timeout=self.timeout_seconds,
            source_address=(self.source_host, 0),
        )
        try:
            connection.request(method, path, content, {**typed, "Connection": "close", **headers})
            with connection.getresponse() as answer:
                return Answer(answer.status, answer.read())
        except (OSError, http.client.HTTPException):
            return Answer(None)
        finally:
            connection.close()
