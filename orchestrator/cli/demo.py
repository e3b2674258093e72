"""`dibs demo`: shows what Dibs promises."""

import os
import secrets
import tempfile
from pathlib import Path

import click
import rich_click
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from orchestrator.cli.failure import MISCONFIGURED, REFUSED, UNAVAILABLE, Failure
from orchestrator.cli.output import print_fields, say
from orchestrator.dev.child import ChildError
from orchestrator.dev.data_directory import DataDirectory
from orchestrator.dev.embedded import EmbeddedPostgresError
from orchestrator.dev.ending import interrupted_once
from orchestrator.dev.ports import LOOPBACK, free_ports
from orchestrator.dev.race import Result, Track, race
from orchestrator.dev.stack import Stack
from orchestrator.secret import secret_from

RACERS = "executor.samples.race:app"
RACE_FILE = "DIBS_RACE_FILE"


@click.group(cls=rich_click.RichGroup)
def demo() -> None:
    """
    See for yourself what Dibs promises.

    \b
    dibs demo race
    """


@demo.command("race")
@click.option(
    "--executors", type=click.IntRange(1, 64), default=8, show_default=True, help="How many race."
)
@click.option(
    "--runs",
    type=click.IntRange(1, 100_000),
    default=1_000,
    show_default=True,
    help="What they race for.",
)
@click.option("--url", help="A running orchestrator; needs DIBS_TOKEN and EXECUTOR_TOKEN.")
@click.option("--queue", help="The race's queue.  [default: one of its own]")
@click.option(
    "--timeout",
    "timeout_seconds",
    type=click.FloatRange(min=1),
    default=30,
    show_default=True,
    help="Give up when no run was executed for so many seconds.",
)
def race_command(
    executors: int, runs: int, url: str | None, queue: str | None, timeout_seconds: float
) -> None:
    """
    Let executors race for runs, by polling and by triggers at once; count who executed what.

    Exits 1 unless every run was executed exactly once.

    \b
    dibs demo race --executors 8 --runs 1000
    """
    try:
        with (
            interrupted_once(),
            tempfile.TemporaryDirectory(prefix="dibs-race-") as folder,
            DataDirectory(Path(folder)) as data,
            Stack(data, _say) as stack,
        ):
            _prepare(stack, url)
            queue = queue or f"race-{secrets.token_hex(4)}"
            files = [Path(folder) / f"executed-{number}" for number in range(executors)]
            ports = free_ports(executors)
            for number, (file, port) in enumerate(zip(files, ports, strict=True)):
                settings = {RACE_FILE: str(file), "EXECUTOR_QUEUES": queue}
                stack.start_executor(f"racer-{number}", RACERS, port, **settings)
            stack.wait_for_executors()
            track = Track(
                url=stack.url,
                client_token=stack.operator_token,
                queue=queue,
                executor_urls=[f"http://{LOOPBACK}:{port}" for port in ports],
                files=files,
            )
            with _progress() as progress:
                bar = progress.add_task(f"{executors} executors", total=runs)
                result = race(
                    track,
                    runs,
                    timeout_seconds=timeout_seconds,
                    on_progress=lambda done: progress.update(bar, completed=done),
                )
    except (EmbeddedPostgresError, ChildError) as error:
        raise Failure(str(error), UNAVAILABLE) from error
    _show(result)
    if not result.is_right:
        raise Failure("A number is wrong.", REFUSED)


def _prepare(stack: Stack, url: str | None) -> None:
    if url is None:
        stack.start_database(None)
        stack.start_orchestrator(*free_ports(1))
        return
    client_token = secret_from(os.environ, "DIBS_TOKEN")
    executor_token = secret_from(os.environ, "EXECUTOR_TOKEN")
    if not client_token or not executor_token:
        raise Failure(
            "With --url, set DIBS_TOKEN (a client's) and EXECUTOR_TOKEN (an executor's).",
            MISCONFIGURED,
        )
    stack.join(url.rstrip("/"), client_token, executor_token)


def _progress() -> Progress:
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        console=Console(stderr=True),
    )


def _show(result: Result) -> None:
    print_fields(
        (
            ("created", result.created),
            ("executed once", result.executed_once),
            ("executed twice", result.executed_twice),
            ("claims refused", result.refused),
            ("triggers failed", result.failed_triggers),
            ("time", f"{result.seconds:.1f} s"),
        )
    )


def _say(message: str) -> None:
    say(f"dibs: {message}", err=True)
