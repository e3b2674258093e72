"""An executor of the adapter, used by hand: each request as such an executor sends it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import Any

import httpx2
import psycopg

from orchestrator.lifecycle import Role
from orchestrator.minting import ALL_QUEUES
from tests.acceptance.client import Client, Json
from tests.acceptance.stage import Stage, make_token, stage_on
from tests.database import Database

ROOT = "/api/workflow-orchestrator"
LOGS = "/api/activity-logs-requests"
HOME = "192.0.2.1"

_names = (f"forest-{number}" for number in count(1))

GUIDANCE = {"type": "task", "taskType": "guideline", "executionType": "manual"}
CONDITION = {
    "type": "condition",
    "executionType": "manual",
    "outgoing": [{"stepId": "y", "answer": "Yes"}, {"stepId": "n", "answer": "No"}],
}


@dataclass
class Forest:
    """One executor: a secret, and an address that it asks from."""

    name: str
    secret: str
    client: Client
    address: str = HOME

    def send(self, method: str, path: str, body: Any = None, **headers: str) -> httpx2.Response:
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        told = {"forest-secret-key": self.secret, "X-Forwarded-For": self.address}
        return self.client.send(method, path, body, headers={**told, **named})

    def poll(self) -> list[Json]:
        return good(self.send("GET", f"{ROOT}/pending-run"))

    def available(self, named: object) -> Json | None:
        return good(self.send("GET", f"{ROOT}/available-run/{named}"))

    def start(self) -> None:
        answer = self.send("POST", f"{ROOT}/executor-metadata", {"version": "1.24.0"})
        assert (answer.status_code, answer.content) == (204, b"")

    def tell(self, run: Json, status: str = "success", **said: Any) -> httpx2.Response:
        """Report the step that this run is at."""
        return self.send("POST", f"{ROOT}/update-step", update(run, status, **said))

    def go_on(self, run: Json, status: str = "success", **said: Any) -> Json | None:
        """The same, when it is stored; what comes next."""
        return good(self.tell(run, status, **said))

    def schema(self, run: Json, name: str | None = None) -> httpx2.Response:
        collection = name or run["collectionName"]
        return self.send("GET", f"{ROOT}/collection-schema/{collection}?runId={run['id']}")

    def log(self, run: Json, kind: str = "write") -> httpx2.Response:
        """Say that data is about to be accessed, with the server token of this run."""
        return self.client.send("POST", LOGS, log_body(kind), headers=as_bearer(run))

    def log_over(self, run: Json) -> httpx2.Response:
        path = f"{LOGS}/{run['id']}/{step_of(run)['stepIndex']}/status"
        return self.client.send("PATCH", path, {"status": "completed"}, headers=as_bearer(run))


@dataclass
class Adapter:
    """An orchestrator that serves the adapter, and who speaks to it."""

    stage: Stage
    owner: psycopg.Connection[Any]
    web: Client
    ops: Client
    open_executor: Callable[[str, str, str], Forest]

    def executor(self, *queues: str, name: str | None = None, address: str = HOME) -> Forest:
        """A new executor, for these queues; for all of them when none is named."""
        name = name or next(_names)
        secret = make_token(
            self.stage.database, name, Role.EXECUTOR, queues or ALL_QUEUES, compat=True
        )
        return self.open_executor(name, secret, address)

    def define(self, name: str, *steps: Json) -> str:
        """Put a workflow; each step is followed by the next one unless it says otherwise."""
        following = [{"next": [step["name"]]} for step in steps[1:]] + [{}]
        body = {"steps": [more | step for step, more in zip(steps, following, strict=True)]}
        self.ops.ask("PUT", f"/v1/workflows/{name}", body)
        return name

    def age(self, run: Json, seconds: float = 16) -> None:
        """Let a run's lease have been granted so much earlier."""
        with self.owner.transaction():
            # Else a guard of the database would refuse it.
            self.owner.execute("SET LOCAL session_replication_role = replica")
            self.owner.execute(
                'UPDATE "workflowRuns" SET "lockedAt" = "lockedAt" - make_interval(secs => %s)'
                " WHERE id = %s",
                [seconds, run_id_of(run)],
            )

    def lease_seconds_left(self, run: Json) -> float:
        row = self.owner.execute(
            'SELECT extract(epoch FROM "leaseExpiresAt" - clock_timestamp())::float8'
            ' FROM "workflowRuns" WHERE id = %s',
            [run_id_of(run)],
        ).fetchone()
        assert row is not None
        return float(row[0])

    def take_away(self, run: Json) -> None:
        """Let a run's lease expire, and wait until it is taken."""
        self.owner.execute(
            'UPDATE "workflowRuns" SET "leaseExpiresAt" = clock_timestamp() WHERE id = %s',
            [run_id_of(run)],
        )
        self.web.wait_for(run_id_of(run), "pending", "waiting", "failed")


@contextmanager
def adapter_on(database: Database, directory: Path) -> Iterator[Adapter]:
    """An adapter; all who speak to it are closed with the block."""
    with (
        stage_on(database, directory, DIBS_COMPAT="on", DIBS_TRUSTED_PROXIES="127.0.0.1") as stage,
        closing(psycopg.connect(database.owner_url, autocommit=True)) as owner,
        ExitStack() as clients,
    ):

        def client(token: str | None = None) -> Client:
            return clients.enter_context(closing(Client(stage.orchestrator.url, token)))

        yield Adapter(
            stage,
            owner,
            client(stage.tokens[Role.CLIENT]),
            client(stage.tokens[Role.OPERATOR]),
            lambda name, secret, address: Forest(name, secret, client(), address),
        )


def good(answer: httpx2.Response) -> Any:
    """What a request that succeeded was answered: 200 with JSON, never an empty one."""
    assert (answer.status_code, answer.headers["content-type"]) == (200, "application/json"), (
        answer.text
    )
    return answer.json()


def update(run: Json, status: str, *, message: str = "it broke", **context: Any) -> Json:
    """The body of a report."""
    told: Json = {"type": status}
    if status == "error":
        told["message"] = message
    return {
        "runId": run["id"],
        "stepUpdate": {
            "stepIndex": step_of(run)["stepIndex"],
            "attributes": {
                "done": status != "awaiting-input",
                "context": {"status": status, **context},
            },
        },
        "executionStatus": told,
    }


def log_body(kind: str) -> Json:
    """The body of an activity log."""
    return {
        "data": {
            "id": 1,
            "type": "activity-logs-requests",
            "attributes": {
                "type": kind,
                "action": "action",
                "label": 'triggered the action "Refund"',
                "status": "pending",
                "records": ["7"],
            },
            "relationships": {
                "rendering": {"data": {"id": "5", "type": "renderings"}},
                "collection": {"data": {"id": "77", "type": "collections"}},
            },
        }
    }


def as_bearer(run: Json) -> dict[str, str]:
    return {
        "Authorization": f"Bearer {run['userProfile']['serverToken']}",
        "forest-application-source": "WorkflowExecutor",
    }


def step_of(run: Json) -> Json:
    """The step to execute."""
    step: Json = run["workflowHistory"][-1]
    return step


def run_id_of(run: Json) -> str:
    return str(run["userProfile"]["tags"]["runId"])


def told(answer: httpx2.Response) -> tuple[int, str]:
    """The status and code of a refusal in the adapter's form."""
    [error] = answer.json()["errors"]
    assert error["detail"]
    assert error["status"] == answer.status_code
    return answer.status_code, error["code"]
