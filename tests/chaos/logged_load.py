"""Runs created, claimed and reported by clients that write down all that they were told."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import uuid4

import httpx2

from orchestrator.lifecycle import Role
from tests.acceptance.client import Client, Json, outcome_of
from tests.acceptance.waiting import eventually
from tests.chaos.history import Exchange, History, now, result_of
from tests.chaos.size import sized

CLAIMERS = 6
CREATE_EVERY_SECONDS = sized(0.2, 0.05)
RUNS_AT_ONCE = 5
REPEAT_AFTER_SECONDS = 0.05
# Nothing in these tests may expire by itself.
LEASE_SECONDS = 600
GIVE_UP_SECONDS = 60.0


class LoggedClient:
    """Asks, repeats what was not answered, and writes down each request and its answer."""

    def __init__(self, proc: str, url: str, token: str, history: History) -> None:
        self._proc = proc
        self._client = Client(url, token)
        self._history = history

    def close(self) -> None:
        self._client.close()

    def ask(self, path: str, body: Json, **headers: str) -> Json | None:
        """Send the same request until it is answered; None when it was refused."""
        give_up_at = time.monotonic() + GIVE_UP_SECONDS
        while True:
            answer = self.send(path, body, **headers)
            if result_of(answer.status_code) != "unknown":
                parsed: Json = answer.json()
                return parsed if answer.is_success else None
            assert time.monotonic() < give_up_at, f"{path}: {answer.text}"
            time.sleep(REPEAT_AFTER_SECONDS)

    def send(self, path: str, body: Json, **headers: str) -> httpx2.Response:
        """Send a request once, whatever comes of it."""
        sent = now()
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        answer = self._client.send("POST", path, body, headers=named)
        result = result_of(answer.status_code)
        told = None if result == "unknown" else answer.json()
        self._history.write(
            Exchange(
                self._proc,
                f"POST {path}",
                body,
                sent,
                now(),
                result,
                told,
                answer.status_code,
                [],
            )
        )
        return answer


@dataclass(frozen=True)
class Grant:
    """A lease that a client was told of, and between which moments."""

    run_id: str
    lease_id: str
    fence: int
    request_id: str
    sent: datetime
    returned: datetime


class LoggedLoad:
    """
    Clients at work on one queue.

    Attributes:
        session: Of whoever speaks for the test itself.
    """

    def __init__(
        self, queue: str, urls: Sequence[str], tokens: Mapping[Role, str], history: History
    ) -> None:
        self.queue = queue
        self.history = history
        self.session = str(uuid4())
        self._urls = urls
        self._tokens = tokens
        self._ending = threading.Event()
        # When what each of them was answered last had been sent.
        self._served: dict[str, float] = {}

    def serves_all_since(self, moment: float) -> bool:
        """Whether everybody was answered something that he sent after this moment."""
        return len(self._served) > CLAIMERS and min(self._served.values()) >= moment

    def go_on(self, times: int = 1) -> None:
        """Wait until everybody has been answered once more, or so many times."""
        for _ in range(times):
            since = time.monotonic()
            eventually(
                lambda since=since: self.serves_all_since(since),
                within_seconds=GIVE_UP_SECONDS,
                what="everybody is served",
            )

    @contextmanager
    def running(self) -> Iterator[None]:
        """For as long as the block; what was created by then is claimed, and all is answered."""
        with ThreadPoolExecutor(CLAIMERS + 1) as threads:
            working = [
                threads.submit(self._create),
                *(threads.submit(self._claim, number) for number in range(CLAIMERS)),
            ]
            try:
                yield
            finally:
                self._ending.set()
                for work in working:
                    work.result(GIVE_UP_SECONDS)

    def client(self, proc: str, number: int = 0, role: Role = Role.EXECUTOR) -> LoggedClient:
        url = self._urls[number % len(self._urls)]
        return LoggedClient(proc, url, self._tokens[role], self.history)

    def written(self, since: datetime) -> list[Exchange]:
        """What was asked since this moment and answered as done; an empty claim did nothing."""
        return [
            one
            for one in self.history.exchanges()
            if one.result == "ok"
            and one.answer.get("dispatches") != []
            and datetime.fromisoformat(one.sent) >= since
        ]

    def client_of(self, url: str) -> LoggedClient:
        """A client that speaks to another orchestrator than the load's."""
        return LoggedClient("elsewhere", url, self._tokens[Role.CLIENT], self.history)

    def create(self, queue: str, count: int) -> list[str]:
        """Runs in another queue, which nobody claims by himself; their ids."""
        path, _ = self.creation()
        runs = [
            {"workflow": "record", "queue": queue, "idempotencyKey": str(uuid4())}
            for _ in range(count)
        ]
        with closing(self.client("test", role=Role.CLIENT)) as client:
            answer = client.ask(path, {"runs": runs})
        assert answer is not None
        return [run["id"] for run in answer["runs"]]

    def claimed_from(self, queue: str, count: int) -> list[Json]:
        """Claim so many runs of another queue; nobody reports them."""
        path, body = self.claim()
        dispatches: list[Json] = []
        with closing(self.client("test")) as client:
            while len(dispatches) < count:
                wanted = {"queues": [queue], "requestId": str(uuid4()), "executor": "test"}
                answer = client.ask(path, {**body, **wanted})
                assert answer is not None
                assert answer["dispatches"], f"{queue} has no {count} runs"
                dispatches += answer["dispatches"]
        return dispatches

    def report(self, dispatches: Sequence[Json]) -> None:
        """Report the success of each."""
        with closing(self.client("test")) as client:
            for dispatch in dispatches:
                client.ask("/v1/reports", report_of(dispatch, self.session, by="test"))

    def claim(self) -> tuple[str, dict[str, Any]]:
        """Route and body of a new claim."""
        return "/v1/claims", {
            "session": self.session,
            "requestId": str(uuid4()),
            "queues": [self.queue],
            "limit": RUNS_AT_ONCE,
            "leaseSeconds": LEASE_SECONDS,
            "waitSeconds": 0,
        }

    def creation(self) -> tuple[str, dict[str, Any]]:
        """Route and body that create some runs."""
        return "/v1/runs/batch", {
            "runs": [
                {"workflow": "record", "queue": self.queue, "idempotencyKey": str(uuid4())}
                for _ in range(RUNS_AT_ONCE)
            ]
        }

    def grants(self) -> list[Grant]:
        """Every lease that anybody was told of, in the order of the answers."""
        return [
            Grant(
                dispatch["run"]["id"],
                dispatch["lease"]["id"],
                dispatch["lease"]["fence"],
                one.args["requestId"],
                datetime.fromisoformat(one.sent),
                datetime.fromisoformat(str(one.returned)),
            )
            for one in self.history.exchanges()
            if one.result == "ok" and one.op == "POST /v1/claims"
            for dispatch in one.answer["dispatches"]
        ]

    def _create(self) -> None:
        with closing(self.client("creator", role=Role.CLIENT)) as client:
            while not self._ending.wait(CREATE_EVERY_SECONDS):
                sent = time.monotonic()
                assert client.ask(*self.creation()) is not None
                self._served["creator"] = sent

    def _claim(self, number: int) -> None:
        proc = f"claimer-{number}"
        session = str(uuid4())
        with closing(self.client(proc, number)) as client:
            while True:
                was_ending = self._ending.is_set()
                sent = time.monotonic()
                dispatches = self._claimed(client, proc, session)
                self._served[proc] = sent
                if was_ending and not dispatches:
                    return
                for dispatch in dispatches:
                    client.ask("/v1/reports", report_of(dispatch, session, by=proc))

    def _claimed(self, client: LoggedClient, proc: str, session: str) -> list[Json]:
        path, body = self.claim()
        answer = client.ask(path, {**body, "session": session, "executor": proc})
        assert answer is not None
        dispatches: list[Json] = answer["dispatches"]
        if not dispatches:
            time.sleep(REPEAT_AFTER_SECONDS)
        return dispatches


def report_of(dispatch: Json, session: str, *, by: str) -> Json:
    """The body that reports the success of a dispatch."""
    told = outcome_of(dispatch, {"status": "success", "output": {"by": by}})
    return {"session": session, "chain": False, "reports": [told]}
