"""Dibs by its HTTP face, in this process, the keeper's beats called by hand."""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from typing import Any
from uuid import uuid4

import orjson
import psycopg
from psycopg.rows import dict_row
from werkzeug.test import TestResponse

from orchestrator.api.context import services_of
from orchestrator.app import create_app
from orchestrator.desk.keeper import Keeper
from orchestrator.desk.starting_points import StartingPoints
from orchestrator.lifecycle import Role
from orchestrator.minting import mint
from orchestrator.settings import load
from orchestrator.store.engine import open_engine
from tests.database import Database

Json = dict[str, Any]
Headers = Mapping[str, str]

_numbers = itertools.count(1)


def fresh_name(word: str) -> str:
    """A name that no other test uses."""
    return f"{word}-{next(_numbers)}"


class Face:
    """One orchestrator, everyone who speaks to it, and the owner's way past it."""

    def __init__(
        self,
        database: Database,
        owner: psycopg.Connection,
        *,
        connections: int = 4,
        tokens: Mapping[Role, str] | None = None,
    ):
        """
        Args:
            tokens: Of another one on the same database; new ones unless told otherwise.
        """
        self.owner = owner
        self.tokens = tokens or _tokens(database)
        self.app = create_app(
            load(
                {"DATABASE_URL": database.service_url, "DIBS_SECRET_KEY": "k" * 32},
                work_connections=connections,
                lease_connections=connections,
            )
        )
        self.services = services_of(self.app)
        self.session = str(uuid4())
        self.sql('UPDATE keeper SET "lastTickAt" = clock_timestamp(), "amnestySince" = NULL')

    def close(self) -> None:
        self.services.database.close()

    def send(
        self,
        role: Role,
        method: str,
        path: str,
        body: Any = None,
        headers: Headers | None = None,
    ) -> TestResponse:
        return self.app.test_client().open(
            path,
            method=method,
            json=body,
            headers={"Authorization": f"Bearer {self.tokens[role]}", **(headers or {})},
        )

    def ask(
        self,
        role: Role,
        method: str,
        path: str,
        body: Any = None,
        headers: Headers | None = None,
    ) -> Json:
        """Send a request that must succeed, and return its answer."""
        answer = self.send(role, method, path, body, headers)
        assert answer.status_code in (200, 201), f"{method} {path}: {answer.text}"
        parsed: Json = orjson.loads(answer.data)
        return parsed

    # Operators.

    def put(self, workflow: str, *steps: Json) -> int:
        """Put a definition; its version."""
        answer = self.ask(Role.OPERATOR, "PUT", f"/v1/workflows/{workflow}", {"steps": steps})
        version: int = answer["version"]
        return version

    def define(self, *steps: Json) -> str:
        """A new workflow; its name."""
        name = fresh_name("workflow")
        self.put(name, *steps)
        return name

    def resolve(self, run_id: str, as_: str, **members: Any) -> TestResponse:
        return self.send(
            Role.OPERATOR, "POST", f"/v1/runs/{run_id}/resolve", {"as": as_, **members}
        )

    def pause(self, queue: str, *, paused: bool = True) -> None:
        act = "pause" if paused else "resume"
        self.ask(Role.OPERATOR, "POST", f"/v1/queues/{queue}/{act}", {})

    def limit(self, queue: str, **limits: int) -> None:
        """Set what a queue allows; what is not named is not limited."""
        self.ask(Role.OPERATOR, "PUT", f"/v1/queues/{queue}", limits)

    def schedule(self, name: str, **members: Any) -> Json:
        plain = {"workflow": "nightly-report", "cron": "0 2 * * *", "queue": f"of-{name}"}
        return self.ask(Role.OPERATOR, "PUT", f"/v1/schedules/{name}", {**plain, **members})

    # Clients.

    def create(self, workflow: str, **members: Any) -> Json:
        """A new run, on a queue of its own unless told otherwise."""
        body = {"workflow": workflow, "queue": fresh_name("queue"), **members}
        return self.ask(Role.CLIENT, "POST", "/v1/runs", body)

    def run(self, run_id: str) -> Json:
        return self.ask(Role.VIEWER, "GET", f"/v1/runs/{run_id}")

    def state(self, run_id: str) -> tuple[str, str]:
        """A run's state and current step."""
        run = self.run(run_id)
        return run["runState"], run["stepName"]

    def events(self, run_id: str) -> list[Json]:
        items: list[Json] = self.ask(Role.VIEWER, "GET", f"/v1/runs/{run_id}/events")["items"]
        return items

    def kinds(self, run_id: str) -> list[str]:
        return [event["kind"] for event in self.events(run_id)]

    def steps(self, run_id: str) -> list[Json]:
        items: list[Json] = self.ask(Role.VIEWER, "GET", f"/v1/runs/{run_id}/steps")["items"]
        return items

    def resume(self, run_id: str, value: Any, headers: Headers | None = None) -> TestResponse:
        return self.send(
            Role.CLIENT, "POST", f"/v1/runs/{run_id}/resume", {"input": value}, headers
        )

    def abort(self, run_id: str) -> Json:
        return self.ask(Role.CLIENT, "POST", f"/v1/runs/{run_id}/abort", {})

    def retry(self, run_id: str) -> Json:
        return self.ask(Role.CLIENT, "POST", f"/v1/runs/{run_id}/retry", {})

    # Executors.

    def register(self, session: str | None = None, **members: Any) -> None:
        body = {"session": session or self.session, "version": "1", "slots": 4, "queues": []}
        self.ask(Role.EXECUTOR, "PUT", "/v1/executors/one", {**body, "stepTypes": [], **members})

    def claim(self, queue: str, **members: Any) -> list[Json]:
        body = {
            "session": self.session,
            "requestId": str(uuid4()),
            "queues": [queue],
            "limit": 1,
            **members,
        }
        dispatches: list[Json] = self.ask(Role.EXECUTOR, "POST", "/v1/claims", body)["dispatches"]
        return dispatches

    def claim_run(self, run_id: str, **members: Any) -> TestResponse:
        body = {"session": self.session, "requestId": str(uuid4()), **members}
        return self.send(Role.EXECUTOR, "POST", f"/v1/runs/{run_id}/claim", body)

    def dispatch(self, workflow: str, **members: Any) -> Json:
        """A new run that the executor holds."""
        return self.hold(self.create(workflow, **members)["id"])

    def hold(self, run_id: str, **members: Any) -> Json:
        """Claim this run, which must be claimable."""
        answer = self.claim_run(run_id, **members)
        assert answer.status_code == 200, answer.text
        parsed: Json = orjson.loads(answer.data)
        return parsed

    def tell(self, *told: tuple[Json, Json], chain: bool = True) -> list[Json]:
        """Report outcomes of dispatches; the results in the same order."""
        reports = [
            {
                "leaseId": dispatch["lease"]["id"],
                "runId": dispatch["run"]["id"],
                "stepIndex": dispatch["step"]["index"],
                "outcome": outcome,
            }
            for dispatch, outcome in told
        ]
        body = {"session": self.session, "chain": chain, "reports": reports}
        results: list[Json] = self.ask(Role.EXECUTOR, "POST", "/v1/reports", body)["results"]
        return results

    def succeed(
        self, dispatch: Json, output: Any = None, *, chain: bool = True, **members: Any
    ) -> Json:
        outcome = {"status": "success", "output": output, **members}
        return self.tell((dispatch, outcome), chain=chain)[0]

    def fail(self, dispatch: Json, **members: Any) -> Json:
        return self.tell((dispatch, {"status": "error", "message": "no answer", **members}))[0]

    def await_input(self, dispatch: Json, **waiting_for: Any) -> Json:
        return self.tell((dispatch, {"status": "awaiting-input", "waitingFor": waiting_for}))[0]

    def waiting(self, workflow: str, **waiting_for: Any) -> Json:
        """A new run that waits for input at its first step."""
        dispatch = self.dispatch(workflow)
        assert self.await_input(dispatch, **waiting_for)["status"] == "waiting"
        return dispatch

    def start(self, dispatch: Json) -> TestResponse:
        """Write ahead that a mutating step begins."""
        path = f"/v1/runs/{dispatch['run']['id']}/steps/{dispatch['step']['index']}/start"
        body = {"leaseId": dispatch["lease"]["id"], "session": self.session}
        return self.send(Role.EXECUTOR, "POST", path, body)

    def begun(self, workflow: str, **members: Any) -> Json:
        """A new run whose mutating first step has begun."""
        dispatch = self.dispatch(workflow, **members)
        assert self.start(dispatch).status_code == 200
        return dispatch

    def release(self, dispatch: Json, *, reason: str = "draining") -> None:
        named = {"leaseId": dispatch["lease"]["id"], "runId": dispatch["run"]["id"]}
        body = {"session": self.session, "leases": [named], "reason": reason}
        self.ask(Role.EXECUTOR, "POST", "/v1/leases/release", body)

    # Time.

    def tick(self) -> None:
        """One beat of the keeper, as if its last one were a second old."""
        self.sql(
            "UPDATE keeper SET \"lastTickAt\" = clock_timestamp() - interval '1 s',"
            ' "prunedAt" = clock_timestamp(), "amnestySince" = NULL'
        )
        services = self.services
        Keeper(services.database, services.signs, StartingPoints(), retention_days=30).tick()
        self.forgive()

    def forgive(self) -> None:
        """Let no executor be on its way into quarantine: a face has one, and expires its leases."""
        self.sql("UPDATE incidents SET number = 0")

    def expire(self, run_id: str) -> None:
        """Let the run's lease have expired, and the keeper have seen it."""
        self.sql(
            'UPDATE "workflowRuns" SET "leaseExpiresAt" = clock_timestamp() - interval \'1 ms\''
            " WHERE id = %s",
            run_id,
        )
        self.tick()

    def let_time_pass(self, run_id: str) -> None:
        """Let what the run waits for in time have come, and the keeper have seen it."""
        self.sql(
            'UPDATE "workflowRuns" SET "availableAt" = clock_timestamp() - interval \'1 ms\''
            " WHERE id = %s",
            run_id,
        )
        self.tick()

    def sql(self, statement: str, *values: Any) -> list[Json]:
        """Run a statement as the owner."""
        cursor = self.owner.cursor(row_factory=dict_row).execute(statement.encode(), values)
        return cursor.fetchall() if cursor.description else []

    def row(self, run_id: str) -> Json:
        """A run with every column, by its database name."""
        return self.sql('SELECT * FROM "workflowRuns" WHERE id = %s', run_id)[0]


def step(name: str, *following: str, **members: Any) -> Json:
    """A step of a definition; its type is its name unless told otherwise."""
    return {"name": name, "type": name, "next": list(following), **members}


def problem(answer: TestResponse) -> tuple[int, str]:
    """The status and code of a refusal."""
    return answer.status_code, orjson.loads(answer.data)["code"]


def _tokens(database: Database) -> dict[Role, str]:
    engine = open_engine(database.owner_url, connections=1, name="minting")
    try:
        with engine.begin() as connection:
            return {role: mint(connection, name=role.value, role=role) for role in Role}
    finally:
        engine.dispose()
