"""`dibs dev`: everything on this machine, until Ctrl-C."""

import os
import shlex
import time
from pathlib import Path

import click
import rich_click

from orchestrator.cli.database import database_from_environment, database_is_given
from orchestrator.cli.failure import TRY_LATER, UNAVAILABLE, Failure
from orchestrator.cli.output import say
from orchestrator.cli.progress import shown_progress
from orchestrator.dev.child import ChildError
from orchestrator.dev.data_directory import DataDirectory, DirectoryHeldError
from orchestrator.dev.embedded import EmbeddedPostgresError
from orchestrator.dev.ending import interrupted_once
from orchestrator.dev.ports import is_free, next_free_port, wait_until_free
from orchestrator.dev.samples import apply_samples
from orchestrator.dev.seed import create_runs
from orchestrator.dev.stack import Stack

DEFAULT_PORT = 8420
FIRST_EXECUTOR_PORT = 3400
SAMPLES = "executor.samples:app"
# Short, so that whoever kills an executor soon sees another one take over.
LEASE_SECONDS = "10"
SUPERVISE_SECONDS = 0.5
FREED_WITHIN_SECONDS = 5.0


@click.command(cls=rich_click.RichCommand)
@click.option(
    "--port",
    type=click.IntRange(1, 65535),
    help=f"Exactly this port.  [default: {DEFAULT_PORT}, or the next free one]",
)
@click.option(
    "--executors", type=click.IntRange(0, 64), default=2, show_default=True, help="How many."
)
@click.option(
    "--data",
    type=click.Path(path_type=Path, file_okay=False),
    default=Path(".dibs"),
    show_default=True,
    help="Where everything is kept; remove it to start afresh.",
)
@click.option(
    "--seed-runs", type=click.IntRange(0, 100_000), default=0, metavar="N", help="Create N runs."
)
def dev(port: int | None, executors: int, data: Path, seed_runs: int) -> None:
    """
    Run a database, an orchestrator and demo executors on this machine, until Ctrl-C.

    The database is an embedded PostgreSQL, or the one in DATABASE_URL (its
    owner's URL). Everything listens on 127.0.0.1 only.

    \b
    dibs dev --executors 4 --seed-runs 1000
    """
    given_url = database_from_environment() if database_is_given() else None
    try:
        with interrupted_once(), DataDirectory(data) as directory, Stack(directory, _say) as stack:
            chosen = _choose_port(port, directory)
            stack.start_database(given_url)
            stack.start_orchestrator(chosen)
            directory.note(f"pid {os.getpid()}, at {stack.url}")
            workflows = apply_samples(stack.url, stack.operator_token)
            _say(f"sample workflows: {', '.join(workflows)}")
            _start_executors(stack, executors)
            if seed_runs:
                _seed(stack, seed_runs)
            _announce(stack)
            while True:
                time.sleep(SUPERVISE_SECONDS)
                stack.supervise()
    except KeyboardInterrupt:
        _say("ended")
    except DirectoryHeldError as error:
        raise Failure(str(error), TRY_LATER) from error
    except (EmbeddedPostgresError, ChildError) as error:
        raise Failure(str(error), UNAVAILABLE) from error
    except OSError as error:
        raise Failure(f"Cannot keep data in {data}: {error}", UNAVAILABLE) from error


def _choose_port(wanted: int | None, directory: DataDirectory) -> int:
    if wanted is not None:
        if not is_free(wanted):
            raise Failure(f"Port {wanted} is in use.", UNAVAILABLE)
        return wanted
    if directory.holder_was_killed:
        # Its orchestrator ends by itself, and gives the port up.
        wait_until_free(DEFAULT_PORT, FREED_WITHIN_SECONDS)
    chosen = next_free_port(DEFAULT_PORT)
    if chosen != DEFAULT_PORT:
        _say(f"port {DEFAULT_PORT} is in use: taking {chosen}")
    return chosen


def _start_executors(stack: Stack, count: int) -> None:
    port = FIRST_EXECUTOR_PORT
    for number in range(1, count + 1):
        port = next_free_port(port)
        stack.start_executor(
            f"executor-{number}", SAMPLES, port, EXECUTOR_LEASE_SECONDS=LEASE_SECONDS
        )
        _say(f"executor-{number} at http://127.0.0.1:{port}")
        port += 1
    stack.wait_for_executors()


def _seed(stack: Stack, count: int) -> None:
    # Every tenth is too large to be paid without an approval.
    runs: list[dict[str, object]] = [
        {
            "workflow": "refund",
            "input": {"orderId": number, "amount": 90_000 if number % 10 == 0 else 1_250},
        }
        for number in range(1, count + 1)
    ]
    with shown_progress("creating runs", count) as advance:
        create_runs(stack.url, stack.operator_token, runs, on_created=advance)
    _say(f"created {count} runs")


def _announce(stack: Stack) -> None:
    words = ["curl", "-H", f"Authorization: Bearer {stack.operator_token}"]
    words += ["-H", "Content-Type: application/json"]
    words += [
        "-d",
        '{"workflow": "refund", "input": {"orderId": 7, "amount": 1250}}',
        f"{stack.url}/v1/runs",
    ]
    say(
        f"Dibs is ready\n"
        f"  URL    {stack.url}\n"
        f"  token  {stack.operator_token}\n"
        f"  try    {shlex.join(words)}\n"
        f"  stop   Ctrl-C"
    )


def _say(message: str) -> None:
    say(f"dibs: {message}", err=True)
