"""`dibs audit verify --client-log`: what clients were told is in the ledger, or it is found."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

from orchestrator.audit.finding import Rule
from orchestrator.auditor import clients
from orchestrator.lifecycle import Role
from tests.command_line import CommandLine
from tests.database import Database
from tests.integration.face import Face, Json, fresh_name, step

Spoil = Callable[[list[Json]], object]
Verify = Callable[..., Json]


class Diary:
    """Asks on behalf of one process, and writes down what it asked and was told."""

    def __init__(self, face: Face, proc: str) -> None:
        self.face = face
        self.proc = proc
        self.entries: list[Json] = []

    def ask(self, role: Role, path: str, body: Json) -> Json:
        answer = self.face.ask(role, "POST", path, body)
        now = datetime.now(UTC).isoformat()
        self.entries.append(
            {
                "proc": self.proc,
                "op": f"POST {path}",
                "args": body,
                "sent": now,
                "returned": now,
                "result": "ok",
                "answer": answer,
            }
        )
        return answer

    def execute(self, workflow: str) -> str:
        """A run of two steps, from its create to its end."""
        queue = fresh_name("queue")
        created = {"workflow": workflow, "queue": queue, "input": {"amount": 12.50}}
        run_id: str = self.ask(Role.CLIENT, "/v1/runs", created)["id"]
        claim = {"session": self.face.session, "requestId": str(uuid4()), "queues": [queue]}
        (dispatch,) = self.ask(Role.EXECUTOR, "/v1/claims", claim)["dispatches"]
        named = {"leaseId": dispatch["lease"]["id"], "runId": run_id}
        session = {"session": self.face.session}
        self.ask(Role.EXECUTOR, "/v1/leases/renew", {**session, "leases": [named]})
        for index in (0, 1):
            start = f"/v1/runs/{run_id}/steps/{index}/start"
            self.ask(Role.EXECUTOR, start, {**session, "leaseId": named["leaseId"]})
            outcome = {"status": "success", "output": {"step": index}}
            report = {**named, "stepIndex": index, "outcome": outcome}
            self.ask(Role.EXECUTOR, "/v1/reports", {**session, "reports": [report]})
        return run_id

    def write(self, directory: Path) -> Path:
        file = directory / f"{self.proc}.jsonl"
        file.write_text("".join(f"{json.dumps(entry)}\n" for entry in self.entries))
        return file


@pytest.fixture
def diary(face: Face) -> Diary:
    return Diary(face, "executor-1")


@pytest.fixture
def verify(command_line: CommandLine, module_database: Database, tmp_path: Path) -> Verify:
    """Runs the audit over these diaries; what it printed."""

    def verify(*diaries: Diary, expect: int, words: tuple[str, ...] = ()) -> Json:
        logs = [word for each in diaries for word in ("--client-log", str(each.write(tmp_path)))]
        ended = command_line.run(
            *("audit", "verify", "--json", *logs, *words), DATABASE_URL=module_database.service_url
        )
        assert ended.code == expect, ended.err
        said: Json = json.loads(ended.out)
        return said

    return verify


@pytest.fixture(scope="module")
def charge_twice(face: Face) -> str:
    return face.define(step("a", "b", mutating=True), step("b", mutating=True))


def found(said: Json) -> set[str]:
    return {finding["rule"] for finding in said["findings"]}


def test_what_really_happened_is_borne_out(
    diary: Diary, charge_twice: str, verify: Verify, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(clients, "ENTRIES_OF_A_PAGE", 3)
    diary.execute(charge_twice)
    diary.execute(charge_twice)

    said = verify(diary, expect=0)
    assert (said["checked"]["clientEntries"], said["checked"]["facts"]) == (14, 14)


def test_a_repeat_tells_the_same(diary: Diary, charge_twice: str, verify: Verify) -> None:
    diary.execute(charge_twice)
    report = diary.entries[-1]
    answer = diary.ask(Role.EXECUTOR, "/v1/reports", report["args"])

    assert answer["results"][0]["replayed"] is True
    verify(diary, expect=0)


def of_path(entries: list[Json], word: str) -> Json:
    return next(entry for entry in entries if word in entry["op"])


def other_input(entries: list[Json]) -> None:
    of_path(entries, "/v1/runs")["args"]["input"] = {"amount": 13}


def other_queue(entries: list[Json]) -> None:
    of_path(entries, "/v1/runs")["args"]["queue"] = "elsewhere"


def other_request(entries: list[Json]) -> None:
    of_path(entries, "/v1/claims")["args"]["requestId"] = str(uuid4())


def other_outcome(entries: list[Json]) -> None:
    of_path(entries, "/v1/reports")["args"]["reports"][0]["outcome"]["output"] = None


def refused_winner(entries: list[Json]) -> None:
    result = of_path(entries, "/v1/reports")["answer"]["results"][0]
    result |= {"status": "refused", "next": None, "problem": {"code": "lease-lost"}}


def lost_create(entries: list[Json]) -> None:
    of_path(entries, "/v1/runs")["answer"]["id"] = str(uuid4())


@pytest.mark.parametrize(
    ("spoil", "rule"),
    [
        (other_input, Rule.TOLD_OTHERWISE),
        (other_queue, Rule.TOLD_OTHERWISE),
        (other_request, Rule.TOLD_OTHERWISE),
        (other_outcome, Rule.TOLD_OTHERWISE),
        (refused_winner, Rule.WINNER_REFUSED),
        (lost_create, Rule.TOLD_BUT_GONE),
    ],
)
def test_what_did_not_happen_is_found(
    diary: Diary, charge_twice: str, verify: Verify, spoil: Spoil, rule: Rule
) -> None:
    diary.execute(charge_twice)
    spoil(diary.entries)

    said = verify(diary, expect=1)
    assert found(said) == {rule}
    assert "executor-1.jsonl:" in said["findings"][0]["what"]


def test_a_lease_that_two_processes_were_told_of_is_found(
    face: Face, diary: Diary, charge_twice: str, verify: Verify
) -> None:
    diary.execute(charge_twice)
    other = Diary(face, "executor-2")
    other.entries = [of_path(diary.entries, "/v1/claims") | {"proc": "executor-2"}]

    assert found(verify(diary, other, expect=1)) == {Rule.HANDED_OUT_TWICE}


@pytest.mark.parametrize(
    ("days_ago", "retention_days", "gone"),
    [(31, 30, False), (29, 30, True), (400, 0, True)],
)
def test_a_run_that_may_have_been_pruned_is_counted(
    diary: Diary,
    charge_twice: str,
    verify: Verify,
    days_ago: int,
    retention_days: int,
    gone: bool,
) -> None:
    diary.execute(charge_twice)
    entry: dict[str, Any] = diary.entries[0]
    entry["answer"]["id"] = str(uuid4())
    entry["sent"] = (datetime.now(UTC) - timedelta(days=days_ago)).isoformat()
    diary.entries = [entry]

    words = ("--retention-days", str(retention_days))
    said = verify(diary, expect=1 if gone else 0, words=words)
    assert found(said) == ({Rule.TOLD_BUT_GONE} if gone else set())
    assert said["checked"]["pruned"] == (0 if gone else 1)


def test_a_line_that_is_no_entry_is_a_mistake_of_the_caller(
    command_line: CommandLine, module_database: Database, tmp_path: Path
) -> None:
    file = tmp_path / "log.jsonl"
    file.write_text("nonsense\n")

    ended = command_line.run(
        *("audit", "verify", "--client-log", str(file)), DATABASE_URL=module_database.service_url
    )
    assert ended.code == 2
    assert f"{file}:1" in ended.err
