"""The agent of the tests: every call with the fence and the key that its token brought."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

from tests.acceptance.waiting import PATIENCE_SECONDS, eventually
from tests.compat.double.web_token import BadToken, verify
from tests.compat.stand_in import Asked, Reply, stand_in

PROBE = "/forest/"


@dataclass(frozen=True)
class Call:
    """One request that reached the agent, and for which lease of which step."""

    method: str
    path: str
    body: Any
    fence: str | None
    key: str | None

    @property
    def is_write(self) -> bool:
        return self.method != "GET"

    @property
    def run_id(self) -> str:
        """By the key, which is `<run>:<step>`."""
        assert self.key is not None, f"{self.method} {self.path} brought no key"
        return self.key.rpartition(":")[0]


@dataclass
class Agent:
    """
    What has reached one agent.

    A call counts when it arrives. It refuses nothing: what comes twice is to
    show in the count, and with which fences.
    """

    users_key: str
    url: str = ""
    _calls: list[Call] = field(default_factory=list)
    _held: threading.Event | None = None
    _refusals: int = 0
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def calls(self) -> list[Call]:
        """In the order of arrival, but for the looks whether it is there."""
        with self._lock:
            return list(self._calls)

    def writes(self, run_id: str | None = None) -> list[Call]:
        """Of one run, if it is given."""
        writes = [call for call in self.calls() if call.is_write]
        return writes if run_id is None else [call for call in writes if call.run_id == run_id]

    def writes_by_key(self) -> Counter[str | None]:
        return Counter(call.key for call in self.writes())

    def wait_for_calls(self, run_id: str) -> None:
        """Wait until one has arrived for a run."""
        eventually(
            lambda: [call for call in self.calls() if call.run_id == run_id],
            what=f"a call for {run_id}",
        )

    def hold_back_answer(self) -> threading.Event:
        """Hold back the answer to the next call until the event is set."""
        let_go = threading.Event()
        with self._lock:
            self._held = let_go
        return let_go

    def refuse_next_write(self) -> None:
        """Answer the next write that it failed; it counts all the same."""
        with self._lock:
            self._refusals = 1

    def answer(self, asked: Asked) -> Reply:
        """Note a call, hold it back if it is to be, and do what it asks for."""
        path = urlsplit(asked.path).path
        if path == PROBE:
            return Reply(204)
        try:
            claims = verify(asked.headers["authorization"].removeprefix("Bearer "), self.users_key)
        except BadToken:
            return Reply(401)
        tags = claims["tags"]
        call = Call(asked.method, path, asked.body, tags.get("fence"), tags.get("key"))
        with self._lock:
            self._calls.append(call)
            let_go, self._held = self._held, None
            is_refused = call.is_write and self._refusals > 0
            self._refusals -= is_refused
        if is_refused:
            return Reply(500)
        if let_go is not None:
            let_go.wait(PATIENCE_SECONDS)
        return Reply.json(_said(call))


@contextmanager
def agent_of(users_key: str) -> Iterator[Agent]:
    """An agent that nobody has called yet, until the block is left."""
    agent = Agent(users_key)
    with stand_in(agent.answer) as server:
        agent.url = server.url
        yield agent


def _said(call: Call) -> Any:
    """A record as it was read or changed; of an action that it was done."""
    if call.method == "POST":
        return {"success": "done"}
    *_, collection, record = call.path.split("/")
    changed = call.body["data"]["attributes"] if call.body else {"total": 120, "status": "open"}
    return {"data": {"type": collection, "id": record, "attributes": {"id": record, **changed}}}
