"""A good fleet: creates runs, claims, renews, reports and reads them; each request is timed."""

import threading
import time
from dataclasses import dataclass
from typing import Any, Final
from uuid import uuid4

from tests.acceptance.client import Client, Json, outcome_of

# So many members, each with a queue of its own, and how often each makes a run.
MEMBERS: Final = 3
ROUND_SECONDS: Final = 0.1
JOIN_SECONDS: Final = 60.0


@dataclass(frozen=True)
class Request:
    """When it was sent, and how long its answer took."""

    began_at: float
    seconds: float


class GoodFleet:
    """
    Works until it is closed; what it was told, and whatever went wrong, is kept.

    A member makes its runs by the clock: one that was late makes the next ones at once, so
    that a server that stood still for a while is asked as much as any other.
    """

    def __init__(self, url: str, *, client_token: str, executor_token: str) -> None:
        self.requests: list[Request] = []
        self.finished: list[str] = []
        self.failures: list[str] = []
        self._url = url
        self._tokens = (client_token, executor_token)
        self._closing = threading.Event()
        self._threads = [
            threading.Thread(target=self._work, args=(f"fleet-{number}",), daemon=True)
            for number in range(MEMBERS)
        ]

    def start(self) -> None:
        for thread in self._threads:
            thread.start()

    def close(self) -> None:
        """Stop; each member ends what it has begun."""
        self._closing.set()
        for thread in self._threads:
            thread.join(JOIN_SECONDS)

    def p99(self, since: float, until: float) -> float:
        """The 99th percentile of the requests that began between these times, in seconds."""
        took = sorted(one.seconds for one in self.requests if since <= one.began_at < until)
        return took[len(took) * 99 // 100]

    def _work(self, queue: str) -> None:
        client, executor = (Client(self._url, token) for token in self._tokens)
        due_at = time.monotonic()
        try:
            while not self._closing.wait(max(0.0, due_at - time.monotonic())):
                self.finished.append(self._execute_one(client, executor, queue))
                due_at += ROUND_SECONDS
        # Whatever it is, the test tells it.
        except Exception as error:  # noqa: BLE001
            self.failures.append(f"{queue}: {type(error).__name__} {error}")
        finally:
            client.close()
            executor.close()

    def _execute_one(self, client: Client, executor: Client, queue: str) -> str:
        """Make a run, execute it, and see it finished."""
        run = self._timed(
            client,
            "POST",
            "/v1/runs",
            {"workflow": "good", "queue": queue},
            Idempotency_Key=str(uuid4()),
        )
        claim = executor.claim_body(queue, waitSeconds=5)
        (dispatch,) = self._timed(executor, "POST", "/v1/claims", claim)["dispatches"]
        assert dispatch["run"]["id"] == run["id"]
        lease = {"leaseId": dispatch["lease"]["id"], "runId": run["id"]}
        renewal = {"session": claim["session"], "leases": [lease]}
        assert self._timed(executor, "POST", "/v1/leases/renew", renewal)["lost"] == []
        outcome = {"status": "success", "output": {"of": run["id"]}}
        report = {"session": claim["session"], "reports": [outcome_of(dispatch, outcome)]}
        (result,) = self._timed(executor, "POST", "/v1/reports", report)["results"]
        assert (result["status"], result["replayed"]) == ("finished", False)
        seen = self._timed(client, "GET", f"/v1/runs/{run['id']}")
        assert (seen["runState"], seen["output"]) == ("finished", outcome["output"])
        return str(run["id"])

    def _timed(
        self, client: Client, method: str, path: str, body: Any = None, **headers: str
    ) -> Json:
        began_at = time.monotonic()
        answer = client.ask(method, path, body, **headers)
        self.requests.append(Request(began_at, time.monotonic() - began_at))
        return answer
