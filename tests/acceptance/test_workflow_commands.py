"""`dibs workflows`, `dibs schedules` and `dibs runs wait` against a real orchestrator."""

from collections.abc import Callable
from pathlib import Path

import orjson
import pytest

from orchestrator.lifecycle import Role
from tests.acceptance.client import Client, outcome_of
from tests.acceptance.stage import Stage
from tests.command_line import CommandLine, Ended

Run = Callable[..., Ended]
STEP = {"name": "only", "type": "nobody-serves-this"}


@pytest.fixture
def dibs(stage: Stage, command_line: CommandLine) -> Run:
    """Runs `dibs` as an operator."""

    def run(*words: str) -> Ended:
        return command_line.run(
            *words, DIBS_URL=stage.orchestrator.url, DIBS_TOKEN=stage.tokens[Role.OPERATOR]
        )

    return run


def put(folder: Path, name: str, content: object) -> str:
    file = folder / name
    file.write_bytes(content if isinstance(content, bytes) else orjson.dumps(content))
    return str(file)


def test_a_folder_of_definitions_is_applied_and_the_bad_files_are_named(
    dibs: Run, queue: str, tmp_path: Path
) -> None:
    put(tmp_path, f"{queue}.json", {"steps": [STEP]})
    put(tmp_path, "other.json", {"name": f"{queue}-2", "steps": [STEP]})
    put(tmp_path, "broken.json", b"{")
    put(tmp_path, "list.json", [])
    put(tmp_path, "misled.json", {"steps": [{**STEP, "next": ["nowhere"]}]})
    put(tmp_path, "unnamed.json", {"name": "a b", "steps": [STEP]})
    put(tmp_path, "notes.txt", b"not looked at")

    applied = dibs("workflows", "apply", str(tmp_path), "--json")

    assert applied.code == 1
    shown = orjson.loads(applied.out)
    assert [(one["name"], one["version"]) for one in shown] == [(queue, 1), (f"{queue}-2", 1)]
    assert "broken.json: is not JSON" in applied.err
    assert "list.json: is not a JSON object" in applied.err
    assert "misled.json: /steps/0/next/0: step only: there is no step nowhere" in applied.err
    assert "unnamed.json: " in applied.err
    assert "4 of 6 files could not be applied" in applied.err


def test_the_same_content_is_the_same_version_and_a_type_that_nobody_serves_a_warning(
    dibs: Run, queue: str, tmp_path: Path
) -> None:
    file = put(tmp_path, f"{queue}.json", {"steps": [STEP]})
    first, again = dibs("workflows", "apply", file), dibs("workflows", "apply", file)
    put(tmp_path, f"{queue}.json", {"steps": [{**STEP, "mutating": True}]})
    changed = dibs("workflows", "apply", file)

    for ended, version in ((first, "1"), (again, "1"), (changed, "2")):
        assert ended.code == 0
        assert ended.out.splitlines()[1].split()[:2] == [queue, version]
        assert "no executor serves the type nobody-serves-this" in ended.err
    assert queue in dibs("workflows", "list").out
    shown = dibs("workflows", "show", queue).out
    assert "version   2, the current one" in shown
    assert "only  nobody-serves-this (nobody serves it), mutating" in shown
    assert "mutating" not in dibs("workflows", "show", queue, "--version", "1").out
    assert dibs("workflows", "show", "unheard-of").code == 1


def test_a_folder_without_definitions_is_a_mistake(dibs: Run, tmp_path: Path) -> None:
    ended = dibs("workflows", "apply", str(tmp_path))

    assert (ended.code, "has no *.json file" in ended.err) == (1, True)


def test_where_nothing_was_applied_there_is_no_table(dibs: Run, tmp_path: Path) -> None:
    file = tmp_path / "bad.json"
    file.write_text("[]")

    ended = dibs("workflows", "apply", str(file))

    assert (ended.code, ended.out) == (1, "")
    assert "bad.json" in ended.err


def test_a_schedule_is_put_paused_resumed_run_and_deleted(dibs: Run, queue: str) -> None:
    words = ("--workflow", "record", "--queue", queue, "--time-zone", "Europe/Berlin")
    created = dibs(
        "schedules", "put", queue, *words, "--cron", "30 2 * * *", "--input", '{"a": 1}', "--json"
    )
    paused = orjson.loads(dibs("schedules", "pause", queue, "--json").out)
    resumed = orjson.loads(dibs("schedules", "resume", queue, "--json").out)
    run_id = dibs("schedules", "run-now", queue).out.strip()
    overlapping = dibs("schedules", "run-now", queue)

    assert created.code == 0, created.err
    assert (paused["paused"], resumed["paused"]) == (True, False)
    assert resumed["input"] == {"a": 1}
    assert resumed["nextAt"] == orjson.loads(created.out)["nextAt"]
    assert "the last one still lives" in overlapping.out
    assert f"{queue}" in dibs("schedules", "list").out
    assert "Europe/Berlin" in dibs("schedules", "show", queue).out
    assert orjson.loads(dibs("runs", "show", run_id, "--json").out)["run"]["input"] == {"a": 1}
    assert dibs("schedules", "delete", queue).code == 0
    assert dibs("schedules", "show", queue).code == 1


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--cron", "every day"), "no cron expression"),
        (("--cron", "30 2 * * *", "--time-zone", "Mars/Base"), "no IANA time zone"),
    ],
)
def test_a_schedule_that_makes_no_sense_is_refused_in_a_sentence(
    dibs: Run, queue: str, words: tuple[str, ...], said: str
) -> None:
    ended = dibs("schedules", "put", queue, "--workflow", "record", *words)

    assert (ended.code, said in ended.err) == (1, True)
    assert dibs("schedules", "show", queue).code == 1


def test_wait_tells_by_its_exit_code_how_a_run_ended(
    dibs: Run, web: Client, holder: Client, queue: str
) -> None:
    outcomes = {
        0: {"status": "success", "output": 1},
        10: {"status": "error", "message": "no", "retryable": False},
        12: {"status": "awaiting-input", "waitingFor": {"schema": {"type": "object"}}},
    }
    for code, outcome in outcomes.items():
        run_id = web.create(queue)
        (dispatch,) = holder.claim(queue)
        holder.report(outcome_of(dispatch, outcome))

        assert dibs("runs", "wait", run_id, "--or-waiting").code == code
    patient = dibs("runs", "wait", run_id, "--timeout", "0.1")
    assert patient.code == 124
    assert f"dibs runs resume {run_id} --input" in patient.err
    web.ask("POST", f"/v1/runs/{run_id}/abort", {})
    assert dibs("runs", "wait", run_id).code == 11
    assert dibs("runs", "wait", web.create(queue), "--timeout", "0.1").code == 124


def test_create_takes_the_run_s_key_and_says_what_a_conflict_is_to_become(
    dibs: Run, queue: str
) -> None:
    words = ("runs", "create", "record", "--queue", queue, "--dedup-key", "order-7", "--json")
    first = dibs(*words, "--priority", "7", "--available-at", "2999-01-01T00:00:00Z")
    refused = dibs(*words)
    returned = dibs(*words, "--on-conflict", "return")

    run = orjson.loads(first.out)
    assert (run["priority"], run["runState"]) == (7, "scheduled")
    assert (refused.code, "run-already-active" in refused.err) == (1, True)
    assert orjson.loads(returned.out)["id"] == run["id"]
