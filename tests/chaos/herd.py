"""A herd: many executors at once, each reduced to a connection that claims and reports."""

from __future__ import annotations

import asyncio
import random
import resource
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit
from uuid import uuid4

import orjson

from tests.acceptance.client import Json, outcome_of
from tests.chaos.http1 import Message, read_message

WAIT_SECONDS = 5
LONGEST_PAUSE_SECONDS = 5.0
JOIN_SECONDS = 30.0

Connection = tuple[asyncio.StreamReader, asyncio.StreamWriter]


@dataclass
class Herd:
    """
    Pollers of one queue that do as every executor should.

    They repeat a claim under its id, wait as long as they are told to, and when
    nobody answers for a time that is drawn anew and grows.

    Attributes:
        statuses: How often each status was answered; 0 for no answer.
        answered_at: When each poller was last answered with success, by `time.monotonic()`.
        executed: The runs whose success was stored.
    """

    url: str
    token: str
    queue: str
    count: int
    chance: random.Random
    statuses: Counter[int] = field(default_factory=Counter)
    answered_at: dict[int, float] = field(default_factory=dict)
    executed: list[str] = field(default_factory=list)
    _is_over: threading.Event = field(default_factory=threading.Event)
    _open: set[asyncio.StreamWriter] = field(default_factory=set)

    def answered_since(self, moment: float) -> int:
        """How many pollers have been answered since then."""
        return sum(at >= moment for at in list(self.answered_at.values()))

    def run(self) -> None:
        """Poll until it is over."""
        asyncio.run(self._run())

    def end(self) -> None:
        self._is_over.set()

    async def _run(self) -> None:
        tasks = [asyncio.create_task(self._poll(number)) for number in range(self.count)]
        while not self._is_over.is_set():
            await asyncio.sleep(0.1)
            for task in tasks:
                if task.done():
                    task.result()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        for writer in self._open:
            writer.close()

    async def _poll(self, number: int) -> None:
        session = str(uuid4())
        connection: Connection | None = None
        while True:
            claim = {
                "session": session,
                "requestId": str(uuid4()),
                "queues": [self.queue],
                "limit": 1,
                "leaseSeconds": 60,
                "waitSeconds": WAIT_SECONDS,
            }
            connection, claimed = await self._ask(connection, "/v1/claims", claim)
            self.answered_at[number] = time.monotonic()
            for dispatch in claimed["dispatches"]:
                report = outcome_of(dispatch, {"status": "success", "output": number})
                body = {"session": session, "chain": False, "reports": [report]}
                connection, answer = await self._ask(connection, "/v1/reports", body)
                assert [one["status"] for one in answer["results"]] == ["finished"], answer
                self.executed.append(dispatch["run"]["id"])
            await asyncio.sleep(claimed["nextPollAfterMs"] / 1000)

    async def _ask(
        self, connection: Connection | None, path: str, body: Any
    ) -> tuple[Connection, Json]:
        """Ask until it is answered; a connection for the next time, and the answer."""
        pause = 0.2
        while True:
            answer: Message | None = None
            with suppress(OSError, asyncio.IncompleteReadError):
                connection = connection or await self._connect()
                answer = await self._exchange(connection, path, body)
            self.statuses[answer.status if answer else 0] += 1
            if connection and answer and answer.status == 200:
                return connection, answer.json()
            if connection and answer is None:
                self._open.discard(connection[1])
                connection[1].close()
                connection = None
            pause = min(2 * pause, LONGEST_PAUSE_SECONDS)
            asked = _retry_after(answer) if answer else 0.0
            await asyncio.sleep(asked + self.chance.uniform(0, pause))

    async def _connect(self) -> Connection:
        to = urlsplit(self.url)
        connection = await asyncio.open_connection(to.hostname, to.port)
        self._open.add(connection[1])
        return connection

    async def _exchange(self, connection: Connection, path: str, body: Any) -> Message | None:
        reader, writer = connection
        content = orjson.dumps(body)
        head = (
            f"POST {path} HTTP/1.1\r\nHost: dibs\r\nAuthorization: Bearer {self.token}\r\n"
            f"Content-Type: application/json\r\nContent-Length: {len(content)}\r\n\r\n"
        )
        writer.write(head.encode() + content)
        await writer.drain()
        return await read_message(reader)


@contextmanager
def herd_of(
    count: int, *, url: str, token: str, queue: str, chance: random.Random
) -> Iterator[Herd]:
    """So many pollers, as long as the block lasts."""
    allowed, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(allowed, min(2 * count, most)), most))
    herd = Herd(url, token, queue, count, chance)
    thread = threading.Thread(target=herd.run, name="herd", daemon=True)
    thread.start()
    try:
        yield herd
    finally:
        herd.end()
        thread.join(JOIN_SECONDS)


def _retry_after(answer: Message) -> float:
    """The seconds of a Retry-After; 0 without one."""
    for line in answer.head.split(b"\r\n"):
        name, _, value = line.partition(b":")
        if name.strip().lower() == b"retry-after":
            return float(value)
    return 0.0
