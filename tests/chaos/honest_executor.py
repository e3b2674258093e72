"""An executor reduced to what it says on the wire, for a network that a test plays by hand."""

from dataclasses import dataclass
from typing import Any
from uuid import uuid4

LEASE_SECONDS = 600

Json = dict[str, Any]


@dataclass(frozen=True)
class Request:
    """One request as it was composed; it may arrive late, twice, or not at all."""

    path: str
    body: Json


class HonestExecutor:
    """
    Names every lease it holds until its report is answered, and every claim it waits for.

    What it holds it is executing, from the moment it hears of it.
    """

    def __init__(self, queue: str) -> None:
        self.session = str(uuid4())
        self.claiming: dict[str, Request] = {}
        self.held: dict[str, Json] = {}
        self._queue = queue
        self._as_of: str | None = None
        self._clock_read: str | None = None
        self._reported: set[str] = set()

    def claim(self, limit: int) -> Request:
        """Ask for runs, and wait for the answer."""
        request_id = str(uuid4())
        request = Request(
            "/v1/claims",
            {
                "session": self.session,
                "requestId": request_id,
                "queues": [self._queue],
                "limit": limit,
                "leaseSeconds": LEASE_SECONDS,
            },
        )
        self.claiming[request_id] = request
        return request

    def give_up(self, request_id: str) -> None:
        """Wait for a claim's answer no more; whatever comes of it is an orphan."""
        del self.claiming[request_id]

    def read_clock(self) -> None:
        """Begin a heartbeat: note the server time known now; what is held is read later."""
        self._clock_read = self._as_of

    def beat(self) -> Request:
        """Compose a heartbeat, begun now or when the clock was read."""
        as_of, self._clock_read = self._clock_read or self._as_of, None
        named = [
            {"leaseId": lease_id, "runId": dispatch["run"]["id"]}
            for lease_id, dispatch in self.held.items()
        ]
        return Request(
            "/v1/leases/renew",
            {
                "session": self.session,
                "leases": named,
                "claiming": list(self.claiming),
                "asOf": as_of,
            },
        )

    def report(self, lease_id: str) -> Request:
        """Say that a run's only step went well, for the first time or again."""
        dispatch = self.held[lease_id]
        self._reported.add(lease_id)
        report = {
            "leaseId": lease_id,
            "runId": dispatch["run"]["id"],
            "stepIndex": 0,
            "outcome": {"status": "success", "output": self.session},
        }
        return Request("/v1/reports", {"session": self.session, "reports": [report]})

    def hear(self, request: Request, answer: Json) -> None:
        """
        Take in the answer to a request.

        Raises:
            AssertionError: It takes away what is being executed, or refuses what was won.
        """
        if "dispatches" in answer:
            # The answer to a repeat of what was answered, or was given up, reaches nobody.
            if self.claiming.pop(request.body["requestId"], None) is not None:
                self.held |= {each["lease"]["id"]: each for each in answer["dispatches"]}
        elif "serverTime" in answer:
            self._as_of = answer["serverTime"]
            taken = (set(answer["lost"]) & self.held.keys()) - self._reported
            assert not taken, f"lost while being executed: {taken}"
        else:
            (result,) = answer["results"]
            assert result["status"] == "finished", result
            self.held.pop(request.body["reports"][0]["leaseId"], None)
