"""What a person at a terminal sees, and what the keys do."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.acceptance.client import Client, outcome_of
from tests.acceptance.commands import Dibs, failed_runs
from tests.acceptance.stage import Stage, stage_on
from tests.acceptance.terminal import CTRL_C, on_terminal
from tests.acceptance.waiting import eventually
from tests.command_line import CommandLine
from tests.database import Database

COLOUR = re.compile(r"\x1b\[[0-9;]*3[0-9](?:;[0-9;]*)?m")
ESCAPE_CODES = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")
OTHER_SCREEN, FIRST_SCREEN = "\x1b[?1049h", "\x1b[?1049l"
BAR = "━"


@pytest.fixture
def dibs(stage: Stage, command_line: CommandLine) -> Dibs:
    return Dibs(stage, command_line)


@pytest.fixture
def slow_stage(database: Database, tmp_path: Path) -> Iterator[Stage]:
    """An orchestrator that answers few requests a second: ten at once, then five each second."""
    with stage_on(database, tmp_path, DIBS_TOKEN_REQUESTS_PER_SECOND="5") as stage:
        yield stage


def test_top_goes_on_by_itself_until_q(dibs: Dibs, web: Client, queue: str) -> None:
    web.create(queue)
    with on_terminal(["top"], dibs.environment(), columns=200, lines=200) as terminal:
        terminal.wait_for(queue)
        run_id = web.create(f"{queue}-later")
        terminal.wait_for(f"{queue}-later")
        terminal.press("q")

        assert terminal.wait_for_exit() == 0
    assert OTHER_SCREEN in terminal.shown
    assert FIRST_SCREEN in terminal.shown
    assert web.run(run_id)["runState"] == "pending"


def test_top_shows_trouble_and_fits_80_columns(
    dibs: Dibs, web: Client, holder: Client, queue: str
) -> None:
    (run_id,) = failed_runs(web, holder, queue, 1)
    with on_terminal(["top"], dibs.environment()) as terminal:
        terminal.wait_for(run_id)
        terminal.press("q")

        assert terminal.wait_for_exit() == 0
    frame = terminal.shown.split(OTHER_SCREEN)[1].split("\x1b[H")[-1].split(FIRST_SCREEN)[0]
    lines = ESCAPE_CODES.sub("", frame).split("\r\n")
    assert len(lines) <= 24
    assert all(len(line.rstrip()) <= 80 for line in lines)


def test_top_is_shown_once_where_nobody_watches(dibs: Dibs, web: Client, queue: str) -> None:
    web.create(queue)

    eventually(lambda: queue in dibs("queues").out)

    ended = dibs.shell("dibs top | cat")

    assert (ended.returncode, "\x1b" in ended.stdout) == (0, False)
    for word in ("queues: ", "executors: ", "newest trouble: ", queue):
        assert word in ended.stdout
    with on_terminal(["top", "--once"], dibs.environment(), columns=200) as terminal:
        assert terminal.wait_for_exit() == 0
    assert queue in terminal.shown
    assert OTHER_SCREEN not in terminal.shown


def test_ctrl_c_ends_with_130_and_no_traceback(
    dibs: Dibs, web: Client, holder: Client, queue: str
) -> None:
    run_id = web.create(queue)
    (dispatch,) = holder.claim(queue)
    waiting_for = {"status": "awaiting-input", "waitingFor": {"schema": {"type": "object"}}}
    holder.report(outcome_of(dispatch, waiting_for))

    for words, sign in ((["top"], "q ends"), (["runs", "wait", run_id], "dibs runs resume")):
        with on_terminal(words, dibs.environment(), columns=200) as terminal:
            terminal.wait_for(sign)
            terminal.press(CTRL_C)

            assert terminal.wait_for_exit() == 130
        assert "Traceback" not in terminal.shown


@pytest.mark.parametrize("columns", [80, 200])
def test_a_table_fits_and_ids_stay_whole(dibs: Dibs, web: Client, queue: str, columns: int) -> None:
    run_id = web.create(queue, workflow="a-workflow-with-a-long-name-" + "x" * 30)
    listed = ["runs", "list", "--queue", queue]
    with on_terminal(listed, dibs.environment(), columns=columns) as terminal:
        assert terminal.wait_for_exit() == 0

    lines = ESCAPE_CODES.sub("", terminal.shown).split("\r\n")
    assert all(len(line) <= columns for line in lines)
    assert any(line.startswith(f"{run_id}  a-workflow") for line in lines)
    assert ("CREATED" in lines[0]) == (columns == 200)
    assert any(line.startswith("no room for ") for line in lines) == (columns == 80)


def test_colours_are_for_terminals_that_want_them(
    dibs: Dibs, web: Client, holder: Client, queue: str
) -> None:
    failed_runs(web, holder, queue, 1)
    listed = ["runs", "list", "--queue", queue]

    seen = []
    for wish in ({}, {"NO_COLOR": "1"}, {"TERM": "dumb"}):
        with on_terminal(listed, dibs.environment() | wish) as terminal:
            assert terminal.wait_for_exit() == 0
        seen.append(bool(COLOUR.search(terminal.shown)))

    assert seen == [True, False, False]
    assert "\x1b" not in dibs.shell(f"dibs runs list --queue {queue}").stdout


def test_who_is_asked_may_say_no(dibs: Dibs, web: Client, queue: str) -> None:
    ids = [web.create(queue) for _ in range(2)]
    abort = ["runs", "abort", "--queue", queue]
    question = f"runs that match (queue {queue}): 2. Go on? [y/N]"

    for answer, code, state in (("n\r", 130, "pending"), ("y\r", 0, "aborted")):
        with on_terminal(abort, dibs.environment(), columns=200) as terminal:
            terminal.wait_for(question)
            terminal.press(answer)

            assert terminal.wait_for_exit() == code
        assert [web.run(run_id)["runState"] for run_id in ids] == [state] * 2


def test_told_to_come_later_it_does_and_shows_how_far_it_is(
    slow_stage: Stage, command_line: CommandLine, queue: str
) -> None:
    dibs = Dibs(slow_stage, command_line)
    web = slow_stage.client()
    try:
        ids = web.create_many(queue, 30)
    finally:
        web.close()

    with on_terminal(["runs", "abort", *ids], dibs.environment(), columns=100) as terminal:
        assert terminal.wait_for_exit() == 0

    shown = ESCAPE_CODES.sub("", terminal.shown)
    assert BAR in shown
    assert "dibs: abort: done 30 of 30, refused: 0" in shown
    lines = [line.split("\r")[-1] for line in shown.split("\r\n")]
    assert [run_id for run_id in ids if f"{run_id}  aborted" not in lines] == []


def test_ids_are_read_from_the_terminal_until_ctrl_d(dibs: Dibs, web: Client, queue: str) -> None:
    run_id = web.create(queue)
    with on_terminal(["runs", "abort", "-"], dibs.environment()) as terminal:
        terminal.wait_for("until Ctrl-D")
        terminal.press(f"{run_id}\r")
        terminal.press("\x04")

        assert terminal.wait_for_exit() == 0
    assert f"{run_id}  aborted" in terminal.shown
