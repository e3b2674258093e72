"""`dibs runs explain` against a real orchestrator."""

from collections.abc import Callable

import orjson
import pytest

from orchestrator.lifecycle import Role
from tests.acceptance.client import Client
from tests.acceptance.stage import Stage
from tests.command_line import CommandLine, Ended

Run = Callable[..., Ended]
MISSING = "01980000-0000-7000-8000-000000000001"


@pytest.fixture
def dibs(stage: Stage, command_line: CommandLine) -> Run:
    """Runs `dibs` as an operator."""

    def run(*words: str) -> Ended:
        return command_line.run(
            *words, DIBS_URL=stage.orchestrator.url, DIBS_TOKEN=stage.tokens[Role.OPERATOR]
        )

    return run


def test_the_sentence_comes_first_and_then_each_gate(dibs: Run, web: Client, queue: str) -> None:
    run_id = web.create(queue, availableAt="2999-01-01T00:00:00Z")

    ended = dibs("runs", "explain", run_id)

    first, blank, *table = ended.out.splitlines()
    assert ended.code == 0
    assert first == (
        "scheduled: It is due at 2999-01-01 00:00:00 UTC: it was created for that time by client."
        " 1 more gate is shut: not-served."
    )
    assert blank == ""
    assert [line.split()[:2] for line in table] == [
        ["GATE", "IS"],
        ["due-time", "shut"],
        ["queue-paused", "open"],
        ["limit", "open"],
        ["not-served", "shut"],
    ]
    assert table[2].split("open")[1].strip() == f"Queue {queue} is not paused."


def test_a_script_gets_what_the_api_says(dibs: Run, web: Client, queue: str) -> None:
    run_id = web.create(queue)

    ended = dibs("runs", "explain", run_id, "--json")

    explanation = orjson.loads(ended.out)
    assert explanation.keys() == {"runState", "executing", "reason", "text", "gates"}
    assert explanation["reason"] == "not-served"


def test_a_run_that_is_not_there_is_a_sentence(dibs: Run) -> None:
    ended = dibs("runs", "explain", MISSING)

    assert (ended.code, ended.out) == (1, "")
    assert "(run-not-found)" in ended.err
