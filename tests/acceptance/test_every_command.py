"""Every command of `dibs` does what it says, on a real server: one that is new fails here first."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType

import orjson
import pytest

from docs._build.command_tree import Path as Words
from docs._build.command_tree import verbs
from orchestrator.lifecycle import Role
from tests.acceptance import processes, test_one_command
from tests.acceptance.client import Client, Json, outcome_of
from tests.acceptance.commands import Dibs, failed_runs
from tests.acceptance.stage import Stage
from tests.acceptance.waiting import eventually
from tests.command_line import CommandLine, Ended
from tests.database import Database

CRON = ("--cron", "30 2 * * *")


@dataclass
class Play:
    """What a scene may use: the commands, who speaks to the same server, and a queue."""

    dibs: Dibs
    web: Client
    holder: Client
    queue: str
    folder: Path
    fixtures: pytest.FixtureRequest

    def ok(self, *words: str, **environment: str) -> str:
        """What a command that must succeed prints."""
        ended = self.dibs(*words, **environment)
        assert ended.code == 0, ended.err
        return ended.out

    def on_database(self, *words: str, code: int = 0) -> Ended:
        """A command on a database of the test's own."""
        database: Database = self.fixtures.getfixturevalue("database")
        ended = self.dibs(*words, DATABASE_URL=database.owner_url)
        assert ended.code == code, ended.err
        return ended

    def dispatched(self, outcome: Json | None = None, **members: str) -> str:
        """A run that is held, or that this became of."""
        run_id = self.web.create(self.queue, **members)
        (dispatch,) = self.holder.claim(self.queue)
        if outcome is not None:
            self.holder.report(outcome_of(dispatch, outcome))
        return run_id

    def registered(self) -> str:
        """The full name of an executor that serves the queue."""
        body = {"session": "0" * 8 + "-0000-4000-8000-" + "0" * 12, "queues": [self.queue]}
        return str(self.holder.ask("PUT", f"/v1/executors/{self.queue}", body)["name"])

    def schedule(self) -> str:
        self.ok("schedules", "put", self.queue, "--workflow", "w", *CRON)
        return self.queue


@pytest.fixture
def play(
    stage: Stage,
    command_line: CommandLine,
    web: Client,
    holder: Client,
    queue: str,
    tmp_path: Path,
    request: pytest.FixtureRequest,
) -> Play:
    return Play(Dibs(stage, command_line), web, holder, queue, tmp_path, request)


def audit_acts(play: Play) -> None:
    play.ok("queues", "pause", play.queue)

    assert play.queue in play.ok("audit", "acts", "--kind", "pause-queue")


def audit_verify(play: Play) -> None:
    assert play.on_database("audit", "verify").out.startswith("runs ")


def completion(play: Play) -> None:
    assert "_dibs_completion" in play.ok("completion", "bash")


def executors_alone(play: Play) -> None:
    assert play.registered() in play.ok("executors")


def executors_list(play: Play) -> None:
    name = play.registered()
    (found,) = [one for one in play.dibs.json("executors", "list")["items"] if one["name"] == name]

    assert (found["state"], found["queues"]) == ("active", [play.queue])
    assert name in play.ok("executors", "list")


def executors_act(act: str, state: str) -> Callable[[Play], None]:
    def scene(play: Play) -> None:
        name = play.registered()
        why = ("--reason", "its disk is full")

        assert "its disk is full" in play.ok("executors", act, name, *why)
        (changed,) = play.dibs.json("executors", act, name)["items"]
        assert changed["state"] == state
        missing = play.dibs("executors", act, "nobody")
        assert (missing.code, "no executor of this name" in missing.err) == (1, True)

    return scene


def leases_revoke(play: Play) -> None:
    assert play.on_database("leases", "revoke", "--all", "--yes").out == "leases ended: 0\n"


def migrate_down(play: Play) -> None:
    play.on_database("migrate", "down", "--to", "-1", "--yes")
    play.on_database("migrate", "status", code=1)


def migrate_grants(play: Play) -> None:
    said = play.on_database("migrate", "grants", "--role", "nobody-here", code=78)
    assert "no role" in said.err


def migrate_status(play: Play) -> None:
    assert play.on_database("migrate", "status").out.startswith("database: ")


def migrate_up(play: Play) -> None:
    assert "up to date" in play.on_database("migrate", "up").out


def queues_alone(play: Play) -> None:
    play.web.create(play.queue)

    eventually(lambda: play.queue in play.ok("queues"))


def queues_limit(play: Play) -> None:
    limit = ("queues", "limit", play.queue)
    limits = ("maxConcurrency", "ratePerSecond", "maxConcurrencyPerKey")

    def now() -> tuple[int | None, ...]:
        found = play.dibs.json("queues", "show", play.queue)
        return tuple(found[member] for member in limits)

    shown = play.ok(*limit, "--concurrency", "5").splitlines()
    assert ["at", "once", "5"] in [line.split() for line in shown]
    assert now() == (5, None, None)
    play.ok(*limit, "--rate", "100", "--per-key", "2")
    assert now() == (5, 100, 2)
    play.ok(*limit, "--concurrency", "none", "--rate", "7")
    assert now() == (None, 7, 2)
    for wrong in ((), ("--rate", "0"), ("--rate", "-1"), ("--rate", "many")):
        assert play.dibs(*limit, *wrong).code == 2
    play.ok(*limit, "--concurrency", "5")
    assert "5 at once, 7/s, 2 of a key" in play.ok("queues", "list")


def queues_list(play: Play) -> None:
    play.web.create(play.queue)

    def pending() -> list[int]:
        found = play.dibs.json("queues", "list")["items"]
        return [one["depth"]["pending"] for one in found if one["name"] == play.queue]

    assert eventually(pending) == [1]
    assert play.queue in play.ok("queues", "list")


def queues_pause(play: Play) -> None:
    assert play.ok("queues", "pause", play.queue).split() == ["name", play.queue, "paused", "true"]
    play.web.create(play.queue)
    assert play.holder.claim(play.queue) == []


def queues_resume(play: Play) -> None:
    play.ok("queues", "pause", play.queue)
    play.web.create(play.queue)

    assert play.dibs.json("queues", "resume", play.queue) == {"name": play.queue, "paused": False}
    assert len(play.holder.claim(play.queue)) == 1


def queues_show(play: Play) -> None:
    play.web.create(play.queue)

    shown = eventually(lambda: play.dibs("queues", "show", play.queue).out)
    assert ["pending", "1"] in [line.split() for line in shown.splitlines()]
    missing = play.dibs("queues", "show", "nowhere")
    assert (missing.code, "no queue nowhere" in missing.err) == (1, True)


def runs_abort(play: Play) -> None:
    assert play.dibs.json("runs", "abort", play.web.create(play.queue))["runState"] == "aborted"


def runs_create(play: Play) -> None:
    made = play.dibs.json("runs", "create", "w", "--queue", play.queue, "--input", '{"a": 1}')

    assert play.web.run(made["id"])["input"] == {"a": 1}


def runs_explain(play: Play) -> None:
    run_id = play.web.create(play.queue)
    play.ok("queues", "pause", play.queue)

    said = play.ok("runs", "explain", run_id)
    assert all(word in said for word in ("queue-paused", "shut", "open"))
    assert play.dibs.json("runs", "explain", run_id)["reason"] == "queue-paused"


def runs_list(play: Play) -> None:
    run_id = play.web.create(play.queue)

    assert run_id in play.ok("runs", "list", "--queue", play.queue)
    assert run_id not in play.ok("runs", "list", "--queue", play.queue, "--state", "failed,started")
    unknown = play.dibs("runs", "list", "--state", "lost")
    assert (unknown.code, "'lost' is no state" in unknown.err) == (2, True)


def runs_resolve(play: Play) -> None:
    run_id = play.dispatched({"status": "unknown", "message": "who knows"})
    done = play.dibs.json("runs", "resolve", run_id, "--as", "done", "--output", '{"paid": true}')

    assert (done["runState"], done["output"]) == ("finished", {"paid": True})


def runs_resume(play: Play) -> None:
    waits = {"status": "awaiting-input", "waitingFor": {"schema": {"type": "object"}}}
    run_id = play.dispatched(waits)

    assert play.dibs.json("runs", "resume", run_id, "--input", "{}")["runState"] == "pending"


def runs_retry(play: Play) -> None:
    (run_id,) = failed_runs(play.web, play.holder, play.queue, 1)

    assert play.dibs.json("runs", "retry", run_id)["runState"] == "pending"
    again = play.dibs("runs", "retry", run_id)
    assert again.code == 1
    assert again.err.count("\n") == 1


def runs_show(play: Play) -> None:
    run_id = play.dispatched({"status": "success", "output": {"paid": 7}})

    shown = play.ok("runs", "show", run_id)
    assert all(word in shown for word in (run_id, '{"paid": 7}', "reported", "finished"))
    assert play.dibs.json("runs", "show", run_id)["steps"][0]["output"] == {"paid": 7}
    wrong = play.dibs("runs", "show", run_id[:8])
    assert (wrong.code, "is no run's id" in wrong.err) == (2, True)


def runs_wait(play: Play) -> None:
    run_id = play.dispatched({"status": "success", "output": 1})

    assert play.dibs.json("runs", "wait", run_id)["runState"] == "finished"


def schedules_delete(play: Play) -> None:
    assert "is gone" in play.ok("schedules", "delete", play.schedule())
    assert play.dibs("schedules", "show", play.queue).code == 1


def schedules_list(play: Play) -> None:
    assert play.schedule() in play.ok("schedules", "list")


def schedules_put(play: Play) -> None:
    assert play.dibs.json("schedules", "show", play.schedule())["cron"] == CRON[1]


def schedules_set(act: str, *, paused: bool) -> Callable[[Play], None]:
    def scene(play: Play) -> None:
        assert play.dibs.json("schedules", act, play.schedule())["paused"] is paused

    return scene


def schedules_run_now(play: Play) -> None:
    run_id = play.ok("schedules", "run-now", play.schedule()).strip()

    assert play.web.run(run_id)["workflow"] == "w"


def schedules_show(play: Play) -> None:
    assert CRON[1] in play.ok("schedules", "show", play.schedule())


def token_create(play: Play) -> None:
    made = play.on_database("token", "create", "--name", "web", "--role", "client")

    assert made.out.startswith("dibs_")


def token_list(play: Play) -> None:
    token_create(play)

    assert "active" in play.on_database("token", "list").out
    (listed,) = orjson.loads(play.on_database("token", "list", "--json").out)["items"]
    assert (listed["name"], listed["state"], listed["queues"]) == ("web", "active", ["*"])


def token_revoke(play: Play) -> None:
    token_create(play)

    assert play.on_database("token", "revoke", "--name", "web").out == "revoked: 1\n"
    (listed,) = orjson.loads(play.on_database("token", "list", "--json").out)["items"]
    assert (listed["state"], listed["revokedAt"] is None) == ("revoked", False)


def top(play: Play) -> None:
    (run_id,) = failed_runs(play.web, play.holder, play.queue, 1)

    assert run_id in play.ok("top", "--once")
    shown = play.dibs.json("top")
    assert run_id in [run["id"] for run in shown["trouble"]]
    assert shown.keys() == {"queues", "executors", "trouble"}


def workflows_apply(play: Play) -> None:
    file = play.folder / f"{play.queue}.json"
    file.write_text('{"steps": [{"name": "only", "type": "t"}]}')

    assert play.queue in play.ok("workflows", "apply", str(file))


def workflows_list(play: Play) -> None:
    workflows_apply(play)

    assert play.queue in play.ok("workflows", "list")


def workflows_show(play: Play) -> None:
    workflows_apply(play)

    assert "only" in play.ok("workflows", "show", play.queue)


SCENES: dict[Words, Callable[[Play], None]] = {
    ("audit", "acts"): audit_acts,
    ("audit", "verify"): audit_verify,
    ("completion",): completion,
    ("executors",): executors_alone,
    ("executors", "drain"): executors_act("drain", "draining"),
    ("executors", "list"): executors_list,
    ("executors", "quarantine"): executors_act("quarantine", "quarantined"),
    ("executors", "resume"): executors_act("resume", "active"),
    ("leases", "revoke"): leases_revoke,
    ("migrate", "down"): migrate_down,
    ("migrate", "grants"): migrate_grants,
    ("migrate", "status"): migrate_status,
    ("migrate", "up"): migrate_up,
    ("queues",): queues_alone,
    ("queues", "limit"): queues_limit,
    ("queues", "list"): queues_list,
    ("queues", "pause"): queues_pause,
    ("queues", "resume"): queues_resume,
    ("queues", "show"): queues_show,
    ("runs", "abort"): runs_abort,
    ("runs", "create"): runs_create,
    ("runs", "explain"): runs_explain,
    ("runs", "list"): runs_list,
    ("runs", "resolve"): runs_resolve,
    ("runs", "resume"): runs_resume,
    ("runs", "retry"): runs_retry,
    ("runs", "show"): runs_show,
    ("runs", "wait"): runs_wait,
    ("schedules", "delete"): schedules_delete,
    ("schedules", "list"): schedules_list,
    ("schedules", "pause"): schedules_set("pause", paused=True),
    ("schedules", "put"): schedules_put,
    ("schedules", "resume"): schedules_set("resume", paused=False),
    ("schedules", "run-now"): schedules_run_now,
    ("schedules", "show"): schedules_show,
    ("token", "create"): token_create,
    ("token", "list"): token_list,
    ("token", "revoke"): token_revoke,
    ("top",): top,
    ("workflows", "apply"): workflows_apply,
    ("workflows", "list"): workflows_list,
    ("workflows", "show"): workflows_show,
}

# Processes that last: they have tests, or serve all tests, where this is written.
ELSEWHERE: dict[Words, tuple[ModuleType, str]] = {
    ("demo", "race"): (test_one_command, 'dibs("demo", "race"'),
    ("dev",): (test_one_command, 'dibs("dev"'),
    ("serve",): (processes, '"orchestrator", "serve"'),
}


@pytest.mark.parametrize("words", verbs(), ids=" ".join)
def test_a_command_does_what_it_says(words: Words, play: Play) -> None:
    if words in ELSEWHERE:
        module, written = ELSEWHERE[words]
        assert written in inspect.getsource(module)
    else:
        SCENES[words](play)


def test_no_scene_is_played_for_a_command_that_is_gone() -> None:
    assert {*SCENES, *ELSEWHERE} - {*verbs()} == set()


@pytest.mark.parametrize(
    ("words", "role", "code"),
    [
        (("queues", "pause", "q"), Role.CLIENT, 77),
        (("queues", "list"), Role.CLIENT, 77),
        (("executors", "drain", "e"), Role.VIEWER, 77),
        (("top",), Role.CLIENT, 77),
        (("runs", "retry", "--state", "failed", "--yes"), Role.VIEWER, 77),
        (("runs", "list"), Role.VIEWER, 0),
    ],
)
def test_a_role_that_may_not_is_told_so_in_one_sentence(
    play: Play, words: tuple[str, ...], role: Role, code: int
) -> None:
    ended = play.dibs(*words, role=role)

    assert ended.code == code
    if code:
        assert (ended.out, ended.err.count("\n")) == ("", 1)
