"""A client of the orchestrator or of an executor, over HTTP."""

from collections.abc import Iterator, Mapping
from typing import Any
from uuid import uuid4

import httpx2

from tests.acceptance.waiting import PATIENCE_SECONDS, eventually

OVER = ("finished", "failed", "aborted")
Json = dict[str, Any]


class Client:
    """Speaks to one server with one token, or with none."""

    def __init__(self, url: str, token: str | None = None) -> None:
        self.url = url
        headers = {} if token is None else {"Authorization": f"Bearer {token}"}
        # Loopback only: certificates would be read for nothing, for each client anew.
        self._http = httpx2.Client(
            base_url=url, headers=headers, timeout=40, trust_env=False, verify=False
        )

    def close(self) -> None:
        self._http.close()

    def send(
        self,
        method: str,
        path: str,
        body: Any = None,
        *,
        headers: Mapping[str, str] | None = None,
        content: bytes | Iterator[bytes] | None = None,
    ) -> httpx2.Response:
        """Send a request; `body` goes as JSON, `content` as it is."""
        if body is not None:
            return self._http.request(method, path, json=body, headers=headers)
        return self._http.request(method, path, content=content, headers=headers)

    def ask(self, method: str, path: str, body: Any = None, **headers: str) -> Json:
        """Send a request that must succeed, and return its answer."""
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        answer = self.send(method, path, body, headers=named)
        assert answer.is_success, f"{method} {path}: {answer.status_code} {answer.text}"
        parsed: Json = answer.json()
        return parsed

    def create(self, queue: str, workflow: str = "record", **members: Any) -> str:
        """Create a run; its id."""
        run = self.ask("POST", "/v1/runs", {"workflow": workflow, "queue": queue, **members})
        return str(run["id"])

    def create_many(
        self, queue: str, count: int, workflow: str = "record", **members: Any
    ) -> list[str]:
        """Create runs, all alike; their ids."""
        run = {"workflow": workflow, "queue": queue, **members}
        ids: list[str] = []
        for start in range(0, count, 1000):
            body = {"runs": [run] * min(1000, count - start)}
            created = self.ask("POST", "/v1/runs/batch", body)
            ids += [one["id"] for one in created["runs"]]
        return ids

    def run(self, run_id: str) -> Json:
        return self.ask("GET", f"/v1/runs/{run_id}")

    def events(self, run_id: str) -> list[Json]:
        items: list[Json] = self.ask("GET", f"/v1/runs/{run_id}/events")["items"]
        return items

    def kinds(self, run_id: str) -> list[str]:
        return [event["kind"] for event in self.events(run_id)]

    def wait_for(self, run_id: str, *states: str, within_seconds: float = PATIENCE_SECONDS) -> Json:
        """Wait until a run is in one of these states (over, when none is named)."""
        wanted = states or OVER

        def look() -> Json | None:
            run = self.run(run_id)
            return run if run["runState"] in wanted else None

        return eventually(look, within_seconds=within_seconds, what=f"{run_id} in {wanted}")

    def runs(self, queue: str, *states: str) -> list[Json]:
        """The runs of a queue in these states, page by page."""
        query = f"/v1/runs?limit=500&queue={queue}&state={','.join(states)}"
        page = self.ask("GET", query)
        found: list[Json] = page["items"]
        while page["nextCursor"]:
            page = self.ask("GET", f"{query}&cursor={page['nextCursor']}")
            found += page["items"]
        return found

    def count(self, queue: str, *states: str) -> int:
        return len(self.runs(queue, *states))

    def wait_until_none(
        self, queue: str, *states: str, within_seconds: float = PATIENCE_SECONDS
    ) -> None:
        """Wait until a queue has no run in these states."""
        eventually(
            lambda: not self.count(queue, *states),
            within_seconds=within_seconds,
            what=f"no run of {queue} in {states}",
        )

    def claim_body(self, queue: str, **members: Any) -> Json:
        return {
            "session": str(uuid4()),
            "requestId": str(uuid4()),
            "queues": [queue],
            "limit": 1,
            "leaseSeconds": 30,
            "waitSeconds": 0,
            **members,
        }

    def claim(self, queue: str, **members: Any) -> list[Json]:
        """Claim as an executor; the dispatches."""
        answer = self.ask("POST", "/v1/claims", self.claim_body(queue, **members))
        dispatches: list[Json] = answer["dispatches"]
        return dispatches

    def report(self, *reports: Json, chain: bool = True) -> list[Json]:
        body = {"session": str(uuid4()), "chain": chain, "reports": list(reports)}
        results: list[Json] = self.ask("POST", "/v1/reports", body)["results"]
        return results

    def trigger(self, run_id: str, body: Json | None = None) -> httpx2.Response:
        """Trigger a run on an executor."""
        return self.send("POST", f"/runs/{run_id}/trigger", {} if body is None else body)


def outcome_of(dispatch: Json, outcome: Json, **changes: Any) -> Json:
    """A report under this dispatch."""
    return {
        "leaseId": dispatch["lease"]["id"],
        "runId": dispatch["run"]["id"],
        "stepIndex": dispatch["step"]["index"],
        "outcome": outcome,
        **changes,
    }
