"""
No secret is anywhere but where it was put, in nothing that the processes write or say.

A session of good, bad and failing requests is played against a real orchestrator and a
real executor that log everything; then all that they wrote, answered and stored is searched.
"""

from __future__ import annotations

import secrets
from collections.abc import Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from uuid import uuid4

import httpx2
import psycopg
import pytest
from psycopg import sql
from psycopg.conninfo import conninfo_to_dict

from orchestrator.lifecycle import Role
from tests.acceptance.journal import GATES, JOURNAL
from tests.acceptance.processes import Executor, Orchestrator, Program
from tests.acceptance.stage import make_token
from tests.acceptance.waiting import eventually
from tests.database import Database

NOBODY = "01890000-0000-7000-8000-000000000000"
OVER = {"finished", "failed", "aborted"}


def canary(what: str) -> str:
    """A secret that is found nowhere by chance."""
    return f"canary-{what}-{secrets.token_hex(8)}"


@dataclass
class Session:
    """Who speaks to both programs; keeps every answer, and knows every secret."""

    orchestrator: Orchestrator
    executor: Executor
    tokens: dict[Role, str]
    secrets: dict[str, str]
    answers: list[str] = field(default_factory=list)

    def send(
        self,
        method: str,
        path: str,
        *,
        role: Role | None = None,
        token: str | None = None,
        body: Any = None,
        headers: Mapping[str, str] | None = None,
        content: bytes | None = None,
        to: str | None = None,
    ) -> httpx2.Response:
        """One request with all headers that hold secrets of somebody's; its answer is kept."""
        credential = self.tokens[role] if role else token
        sent = {
            "Cookie": f"session={self.secrets['cookie']}",
            "forest-secret-key": self.secrets["forest-secret-key"],
            **({"Authorization": f"Bearer {credential}"} if credential else {}),
            **(headers or {}),
        }
        with httpx2.Client(trust_env=False, verify=False, timeout=40) as http:
            answer = http.request(
                method,
                f"{to or self.orchestrator.url}{path}",
                headers=sent,
                **({"json": body} if content is None and body is not None else {}),
                **({} if content is None else {"content": content}),
            )
        self.answers.append(f"{answer.headers.multi_items()}\n{answer.text}")
        return answer

    def ask(self, method: str, path: str, role: Role, body: Any = None) -> Any:
        answer = self.send(method, path, role=role, body=body)
        assert answer.is_success, answer.text
        return answer.json()


@pytest.fixture
def queue() -> str:
    return f"secrets-{secrets.token_hex(4)}"


@pytest.fixture
def session(database: Database, queue: str, tmp_path: Path) -> Iterator[Session]:
    """An orchestrator and an executor that log all they ever log."""
    key, tokens = canary("key"), {role: make_token(database, role.value, role) for role in Role}
    orchestrator = Orchestrator(
        "orchestrator", database.service_url, tmp_path, DIBS_SECRET_KEY=key, LOG_LEVEL="DEBUG"
    )
    executor = Executor(
        "one",
        {
            "ORCHESTRATOR_URL": orchestrator.url,
            "EXECUTOR_TOKEN": tokens[Role.EXECUTOR],
            "EXECUTOR_QUEUES": queue,
            "EXECUTOR_POLL_INTERVAL_S": "0.2",
            "LOG_LEVEL": "debug",
            JOURNAL: str(tmp_path / "journal"),
            GATES: str(tmp_path),
        },
        tmp_path,
        tokens[Role.CLIENT],
    )
    known = {
        "secret key": key,
        "password": str(conninfo_to_dict(database.service_url)["password"]),
        **{f"{role} token": token.split("_", 2)[2] for role, token in tokens.items()},
        **{name: canary(name) for name in ("cookie", "forest-secret-key", "wrong", "query")},
        "on behalf": canary("on-behalf"),
    }
    with closing(executor):
        try:
            orchestrator.start()
            executor.start()
            yield Session(orchestrator, executor, tokens, known)
        finally:
            orchestrator.end()


def play_good_requests(session: Session, queue: str) -> None:
    for workflow, more in (("record", {}), ("fail", {"input": {"times": 9}})):
        body = {"workflow": workflow, "queue": queue, "maxFailures": 1, **more}
        run_id = session.ask("POST", "/v1/runs", Role.CLIENT, body)["id"]
        eventually(
            lambda path=f"/v1/runs/{run_id}": (
                session.ask("GET", path, Role.VIEWER)["runState"] in OVER
            ),
            what=f"{workflow} is over",
        )
    retried = session.ask("POST", f"/v1/runs/{run_id}/retry", Role.CLIENT, {})
    for part in ("", "/events", "/steps"):
        session.ask("GET", f"/v1/runs/{retried['id']}{part}", Role.CLIENT)
    session.ask("POST", f"/v1/queues/{queue}-b/pause", Role.OPERATOR, {})
    for path in ("queues", "executors", "workflows", "schedules", "audit", "runs", "whoami"):
        session.ask("GET", f"/v1/{path}", Role.OPERATOR)


def play_triggers(session: Session, queue: str) -> None:
    """At the executor's face, with callers good and bad."""
    role, elsewhere = Role.CLIENT, f"{queue}-elsewhere"
    run_id = session.ask("POST", "/v1/runs", role, {"workflow": "record", "queue": elsewhere})["id"]
    key_id = session.tokens[role].split("_")[1]
    for token in (
        None,
        session.secrets["wrong"],
        f"dibs_{key_id}_{session.secrets['wrong']}",
        session.tokens[Role.VIEWER],
        session.tokens[role],
    ):
        session.send(
            "POST", f"/runs/{run_id}/trigger", token=token, body={}, to=session.executor.url
        )
    last = session.answers[-1]
    assert '"triggered"' in last, last
    session.send("GET", "/health", to=session.executor.url)
    session.send("POST", "/runs/x/trigger", role=role, content=b"{", to=session.executor.url)


def play_bad_requests(session: Session) -> None:
    wrong, on_behalf = session.secrets["wrong"], session.secrets["on behalf"]
    key_id = session.tokens[Role.CLIENT].split("_")[1]
    json = {"Content-Type": "application/json"}
    behalf = {"Dibs-On-Behalf-Of": f"Bearer dibs_{key_id}_{on_behalf}"}
    wish = {"session": str(uuid4()), "requestId": str(uuid4())}
    for token in (wrong, f"dibs_{key_id}_{wrong}", f"dibs_0123456789abcdef_{wrong}"):
        assert session.send("GET", "/v1/runs", token=token).status_code == 401
    statuses = [
        session.send(method, path, role=role, **more).status_code
        for method, path, role, more in (
            ("GET", "/v1/nothing", Role.CLIENT, {}),
            ("PATCH", "/v1/runs", Role.CLIENT, {}),
            ("GET", f"/v1/runs/{NOBODY}?token={session.secrets['query']}", Role.CLIENT, {}),
            ("POST", "/v1/claims", Role.CLIENT, {"body": {}}),
            ("POST", "/v1/runs", Role.CLIENT, {"body": {"workflow": 1}}),
            ("POST", "/v1/runs", Role.CLIENT, {"content": b"{", "headers": json}),
            ("POST", "/v1/runs", Role.CLIENT, {"content": b"x"}),
            ("POST", "/v1/runs", Role.CLIENT, {"content": b" " * 300_000, "headers": json}),
            ("GET", "/v1/whoami", Role.EXECUTOR, {"headers": behalf}),
            ("GET", "/v1/whoami", Role.CLIENT, {"headers": behalf}),
            (
                "POST",
                f"/v1/runs/{NOBODY}/claim",
                Role.EXECUTOR,
                {"body": wish, "headers": behalf},
            ),
        )
    ]
    assert statuses == [404, 405, 422, 403, 422, 400, 415, 413, 401, 403, 401]


def play_failing_requests(session: Session, owner: psycopg.Connection) -> None:
    """What the database refuses, and a database whose connections die."""
    owner.execute('ALTER TABLE "workflowRuns" RENAME TO away')
    try:
        for method, path in (("GET", "/v1/runs"), ("POST", "/v1/runs")):
            body = {"workflow": "record"} if method == "POST" else None
            answer = session.send(method, path, role=Role.CLIENT, body=body)
            assert answer.status_code == 503
    finally:
        owner.execute('ALTER TABLE away RENAME TO "workflowRuns"')
    owner.execute(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
        " WHERE datname = current_database() AND pid <> pg_backend_pid()"
    )
    eventually(
        lambda: session.send("GET", "/v1/runs", role=Role.CLIENT).is_success, what="it serves"
    )


def command_lines(program: Program) -> list[str]:
    """Of the process and all that it has started: they are one session of the system's."""
    found = []
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            of_session = int(stat.read_text().rpartition(")")[2].split()[3])
            if of_session == program.process.pid:
                found.append(stat.with_name("cmdline").read_bytes().decode(errors="replace"))
        except OSError:
            continue
    return found


def stored(owner: psycopg.Connection) -> str:
    """Every row of every table, and what the sessions of the database say of themselves."""
    tables = owner.execute(
        "SELECT relname FROM pg_class WHERE relnamespace = 'public'::regnamespace AND relkind = 'r'"
    ).fetchall()
    rows = [
        row[0]
        for (name,) in tables
        for row in owner.execute(
            sql.SQL("SELECT t::text FROM {} t").format(sql.Identifier(name))
        ).fetchall()
    ]
    rows += [str(row) for row in owner.execute("SELECT a::text FROM pg_stat_activity a").fetchall()]
    return "\n".join(rows)


def test_no_secret_is_written_answered_or_stored(
    session: Session, queue: str, owner: psycopg.Connection
) -> None:
    play_good_requests(session, queue)
    play_triggers(session, queue)
    play_bad_requests(session)
    play_failing_requests(session, owner)
    for path in ("/openapi.json", "/docs", "/healthz", "/readyz"):
        assert session.send("GET", path, role=Role.OPERATOR).is_success
    processes = (session.orchestrator, session.executor)
    everything = {
        "command lines": "\n".join(line for each in processes for line in command_lines(each)),
        "database": stored(owner),
        "answers": "\n".join(session.answers),
    }
    for each in processes:
        each.end()
        everything[f"log of {each.name}"] = each.log_file.read_text(encoding="utf-8")

    # What must be there is: so what is searched is what they wrote.
    key_id = session.tokens[Role.CLIENT].split("_")[1]
    expected = {
        "command lines": "serve",
        "database": key_id,
        "answers": key_id,
        "log of orchestrator": key_id,
        "log of one": "no luck",
    }
    assert {where for where, what in expected.items() if what not in everything[where]} == set()
    leaked = {
        (name, where)
        for name, secret in session.secrets.items()
        for where, text in everything.items()
        if secret in text
    }
    assert leaked == set()


@pytest.fixture
def owner(database: Database) -> Iterator[psycopg.Connection]:
    with closing(psycopg.connect(database.owner_url, autocommit=True)) as connection:
        yield connection
