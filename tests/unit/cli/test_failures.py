"""Every mistake on the command line is one sentence and a code that says what kind it is."""

import os
import shlex
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from tests.command_line import CommandLine

NOBODY_LISTENS = "postgresql://somebody:secret@127.0.0.1:1/dibs"


@pytest.mark.parametrize(
    ("words", "environment", "code", "sentence"),
    [
        (["nonsense"], {}, 2, "No such command"),
        (["runs", "wait"], {}, 2, "Missing argument 'RUN'"),
        (["dev", "--port", "70000"], {}, 2, "70000 is not in the range"),
        (["token", "create", "--name", "a b", "--role", "client"], {}, 2, "must be letters"),
        (["token", "create", "--name", "a", "--role", "root"], {}, 2, "'root' is not one of"),
        (["token", "revoke"], {}, 2, "either --name or --key-id"),
        (["migrate", "up"], {}, 78, "DATABASE_URL is not set"),
        (["migrate", "up"], {"DATABASE_URL": "mysql://x"}, 78, "DATABASE_URL must look like"),
        (["migrate", "up"], {"DATABASE_URL_FILE": "/nowhere"}, 78, "DATABASE_URL_FILE"),
        (["migrate", "status"], {"DATABASE_URL": NOBODY_LISTENS}, 69, "cannot be used"),
        (["token", "list"], {"DATABASE_URL": NOBODY_LISTENS}, 69, "cannot be used"),
        (["serve"], {}, 78, "DIBS_SECRET_KEY"),
        (["runs", "list"], {}, 78, "DIBS_TOKEN is not set"),
        (["runs", "list"], {"DIBS_TOKEN": "x", "DIBS_URL": "http://127.0.0.1:1"}, 69, "No answer"),
        (["runs", "list"], {"DIBS_TOKEN": "x", "DIBS_URL": "127.0.0.1"}, 78, "not a URL"),
        (["workflows", "apply", "/nowhere"], {}, 2, "does not exist"),
        (["schedules", "put", "x", "--cron", "* * * * *"], {}, 2, "--workflow"),
        (["runs", "create", "x", "--on-conflict", "shrug"], {}, 2, "is not one of"),
        (["demo", "race", "--url", "http://127.0.0.1:1"], {}, 78, "EXECUTOR_TOKEN"),
    ],
)
def test_a_mistake_is_one_sentence_and_a_code(
    command_line: CommandLine,
    words: list[str],
    environment: dict[str, str],
    code: int,
    sentence: str,
) -> None:
    ended = command_line.run(*words, **environment)

    assert ended.code == code
    assert sentence in ended.err
    assert "Traceback" not in ended.err
    assert "secret" not in ended.err


def test_help_and_version_go_to_standard_output(command_line: CommandLine) -> None:
    assert "dibs dev" in command_line.run("--help").out
    assert "dibs, version" in command_line.run("--version").out


def test_dev_says_when_it_cannot_keep_its_data(command_line: CommandLine, tmp_path: Path) -> None:
    (tmp_path / "file").touch()

    ended = command_line.run("dev", "--data", str(tmp_path / "file" / "data"))

    assert ended.code == 69
    assert "Cannot keep data in" in ended.err


def test_serve_says_that_its_port_is_taken(command_line: CommandLine) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        ended = command_line.run(
            "serve", "--port", port, DATABASE_URL=NOBODY_LISTENS, DIBS_SECRET_KEY="k" * 32
        )

    assert (ended.code, ended.out) == (69, "")
    assert ended.err == f"dibs: Cannot listen on 127.0.0.1:{port}: Address already in use.\n"


def test_requests_that_wait_must_leave_threads_for_those_that_do_not(
    command_line: CommandLine,
) -> None:
    ended = command_line.run(
        "serve",
        DATABASE_URL=NOBODY_LISTENS,
        DIBS_SECRET_KEY="k" * 32,
        DIBS_THREADS="32",
        DIBS_PARKED_CLAIMS="25",
    )

    assert ended.code == 78
    assert "DIBS_PARKED_CLAIMS: at most 24 of 32 threads" in ended.err


def test_a_reader_that_has_gone_before_is_no_error() -> None:
    reader, writer = os.pipe()
    os.close(reader)
    buffered = {name: value for name, value in os.environ.items() if name != "PYTHONUNBUFFERED"}
    try:
        ended = subprocess.run(
            [sys.executable, "-m", "orchestrator", "completion", "bash"],
            stdout=writer,
            stderr=subprocess.PIPE,
            check=False,
            env=buffered,
        )
    finally:
        os.close(writer)

    assert (ended.returncode, ended.stderr) == (141, b"")


def test_an_output_that_is_closed_is_one_sentence() -> None:
    command = f"exec {shlex.quote(sys.executable)} -m orchestrator completion bash >&-"

    ended = subprocess.run(
        ["/bin/sh", "-c", command],
        stderr=subprocess.PIPE,
        check=False,
    )

    assert ended.stderr == b"dibs: The output cannot be written: Bad file descriptor.\n"
    assert ended.returncode == 73


def test_the_module_is_the_command() -> None:
    ended = subprocess.run(
        [sys.executable, "-m", "orchestrator", "nonsense"], capture_output=True, check=False
    )

    assert ended.returncode == 2
