"""What the executor logs: nothing of it steers a terminal, and no token is in it."""

import json
import os
import pty
import re
import subprocess
import sys

import pytest

PROGRAM = """
import logging, structlog
from executor.logs import configure_logs

NASTY = {nasty!r}
SECRET = "not to be shown"

def fail(token):
    raise ValueError(NASTY)

configure_logs("debug", executor="web-1")
log = structlog.get_logger()
log.warning("refused", run=NASTY, reason="it said " + NASTY, held=[NASTY], status=409)
try:
    fail(SECRET)
except ValueError:
    log.exception("failed", code=NASTY)
logging.getLogger("waitress").warning("Exception while serving %s", NASTY)
try:
    fail(SECRET)
except ValueError:
    logging.getLogger("asyncio").exception("Task %s", NASTY)
"""
NASTY = "a\x1b[2J\x1b]0;title\x07\r\x9b31m\u202egnp\n1999-01-01 [info] forged"
COLOURS = re.compile(r"\x1b\[[0-9]{1,2}m")


def logged_on_a_terminal(nasty: str) -> str:
    ours, theirs = pty.openpty()
    process = subprocess.Popen([sys.executable, "-c", PROGRAM.format(nasty=nasty)], stderr=theirs)
    os.close(theirs)
    received = b""
    try:
        while part := os.read(ours, 65536):
            received += part
    except OSError:
        # How a terminal says that nobody writes to it any more.
        pass
    finally:
        os.close(ours)
    assert process.wait(30) == 0
    return received.decode()


def logged_to_a_file(nasty: str) -> str:
    program = PROGRAM.format(nasty=nasty)
    ended = subprocess.run([sys.executable, "-c", program], capture_output=True, check=True)
    return ended.stderr.decode()


def test_on_a_terminal_control_characters_are_written_out():
    logged = logged_on_a_terminal(NASTY)

    lines = [COLOURS.sub("", line) for line in logged.split("\r\n")]
    assert [line for line in lines if not line.isprintable()] == []
    assert [line for line in lines if line.startswith("1999-01-01")] == []
    assert "\\x1b[2J" in logged
    assert "\\u202e" in logged
    assert "Traceback" in logged


def test_a_traceback_shows_no_values_of_variables():
    assert "not to be shown" not in logged_on_a_terminal("plain")
    assert "not to be shown" not in logged_to_a_file("plain")


@pytest.mark.parametrize("nasty", [NASTY, "half \ud800"])
def test_in_a_file_each_event_is_a_line_of_json(nasty):
    lines = logged_to_a_file(nasty).split("\n")

    refused, failed = (json.loads(line) for line in lines if line.startswith("{"))
    assert refused["event"] == "refused"
    assert refused["executor"] == failed["executor"] == "web-1"
    assert failed["event"] == "failed"
    assert [line for line in lines if not line.isprintable()] == []
