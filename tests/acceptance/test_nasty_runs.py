"""What comes from a run reaches no terminal as anything but text."""

import ast
from collections.abc import Callable
from pathlib import Path

import orjson
import pytest

import orchestrator.cli
from orchestrator.lifecycle import Role
from tests.acceptance.client import Client, outcome_of
from tests.acceptance.stage import Stage
from tests.command_line import CommandLine, Ended

Run = Callable[..., Ended]
NASTY = "=cmd|x \x1b[2J\x1b]0;owned\x07\r\x9b31m\u202egnp.exe\x7f\nfinished  \u2028<script>"
SHOWN = "\\u001b[2J\\u001b]0;owned\\u0007\\r\\x9b31m\\u202egnp.exe\\x7f\\nfinished"


@pytest.fixture
def dibs(stage: Stage, command_line: CommandLine) -> Run:
    """Runs `dibs` as an operator, and looks at every character that it prints."""

    def run(*words: str) -> Ended:
        ended = command_line.run(
            *words,
            DIBS_URL=stage.orchestrator.url,
            DIBS_TOKEN=stage.tokens[Role.OPERATOR],
            DATABASE_URL=stage.database.owner_url,
        )
        lines = (ended.out + ended.err).split("\n")
        assert [line for line in lines if not line.isprintable()] == []
        return ended

    return run


def test_a_nasty_run_is_shown_in_characters_that_do_nothing(
    dibs: Run, web: Client, holder: Client, queue: str
) -> None:
    failed, finished = web.create_many(queue, 2, input={NASTY: [NASTY]})
    aborted = web.create(queue, input={NASTY: [NASTY]}, concurrencyKey="\x9b31m\u202egnp")
    for outcome in (
        {"status": "error", "message": NASTY, "retryable": False},
        {"status": "success", "output": NASTY},
    ):
        run_id = failed if outcome["status"] == "error" else finished
        held = holder.ask(
            "POST",
            f"/v1/runs/{run_id}/claim",
            {
                key: holder.claim_body(queue)[key]
                for key in ("session", "requestId", "leaseSeconds")
            },
        )
        holder.report(outcome_of(held, outcome))
    web.wait_for(failed, "failed")

    assert dibs("runs", "abort", aborted, "--reason", NASTY).code == 0
    for run_id in (failed, aborted, finished):
        assert SHOWN in dibs("runs", "show", run_id).out
        shown = orjson.loads(dibs("runs", "show", run_id, "--json").out)
        assert shown["run"]["input"] == {NASTY: [NASTY]}
        assert SHOWN in dibs("runs", "wait", run_id).out
        assert dibs("audit", "verify", "--run", run_id).code == 0
    assert dibs("runs", "list", "--queue", queue).code == 0


def test_what_the_command_line_is_told_is_shown_so_too(
    dibs: Run, queue: str, tmp_path: Path
) -> None:
    file = tmp_path / f"{queue}.json"
    file.write_text('{"name": "\\u001b[2J", "steps": []}', encoding="utf-8")
    # Of the sequences that click itself takes out this is none.
    folder = tmp_path / "\x1b]0;owned\x07"
    folder.mkdir()

    for words in (
        ["runs", "create", NASTY],
        ["runs", "show", NASTY],
        ["runs", "list", "--state", NASTY],
        ["runs", "list", "--cursor", NASTY],
        ["runs", "abort", NASTY, "--reason", NASTY],
        ["schedules", "show", NASTY],
        ["schedules", "put", queue, "--workflow", "w", "--cron", NASTY],
        ["workflows", "apply", str(file)],
        ["workflows", "apply", str(folder)],
        ["workflows", "apply", NASTY],
        ["token", "create", "--name", NASTY, "--role", "client"],
        [NASTY],
    ):
        assert dibs(*words).code in (1, 2)


def test_the_commands_print_at_one_place() -> None:
    elsewhere = [
        f"{path.name}:{node.lineno}"
        for path in Path(orchestrator.cli.__file__).parent.glob("*.py")
        if path.name != "output.py"
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if (isinstance(node, ast.Attribute) and node.attr in ("echo", "secho"))
        or (isinstance(node, ast.Name) and node.id == "print")
    ]

    assert elsewhere == []
