"""The command line of `dibs-executor`."""

import gc
import importlib
import os
import signal
import sys
import threading

import click
import stamina.instrumentation

from executor.face import CannotListenError
from executor.handlers import App
from executor.logs import configure_logs
from executor.printable import printable_lines
from executor.process import Executor
from executor.registration import NotWelcomeError
from executor.settings import BadSettingsError, read_settings

LAST_RESORT_SECONDS = 5.0
OBJECTS_BETWEEN_COLLECTIONS = 20_000


@click.group()
@click.version_option(package_name="dibs")
def main() -> None:
    """Executes workflow runs that it claims from a Dibs orchestrator."""


@main.command()
@click.argument("app", metavar="package.module:app")
def run(app: str) -> None:
    """
    Run one executor until SIGTERM or Ctrl-C.

    \b
    Example:
      ORCHESTRATOR_URL=http://127.0.0.1:8420 EXECUTOR_TOKEN=dibs_… \\
        dibs-executor run executor.samples:app

    \b
    The first signal lets running work finish for EXECUTOR_STOP_TIMEOUT_S
    seconds and gives the rest back; the second one gives it back at once.
    """
    try:
        settings = read_settings()
        configure_logs(settings.log_level, executor=settings.instance)
        # Our own events say when the orchestrator is away, once.
        stamina.instrumentation.set_on_retry_hooks([])
        executor = Executor(load(app), settings)
        stop, hurry = _signals()
        executor.start()
        # What is there now stays, and runs come and go without leaving cycles.
        gc.freeze()
        gc.set_threshold(OBJECTS_BETWEEN_COLLECTIONS)
    except (BadSettingsError, CannotListenError, NotWelcomeError) as error:
        click.echo(printable_lines(str(error)), err=True)
        sys.exit(error.exit_code)
    stop.wait()
    executor.drain(hurry)
    _end_for_certain()


def load(path: str) -> App:
    """
    The `App` that ``package.module:name`` names; the working directory is searched too.

    Raises:
        BadSettingsError: There is none.
    """
    module_name, _, attribute = path.partition(":")
    if not module_name or not attribute:
        raise BadSettingsError(f"{path!r} is not of the form package.module:app.")
    sys.path.insert(0, os.getcwd())  # noqa: PTH109
    try:
        found = getattr(importlib.import_module(module_name), attribute, None)
    except ModuleNotFoundError as missing:
        raise BadSettingsError(f"{path!r} cannot be imported: {missing}.") from missing
    if not isinstance(found, App):
        raise BadSettingsError(f"{path!r} is not an executor.App.")
    return found


def _signals() -> tuple[threading.Event, threading.Event]:
    """Events for the first signal and for those after it."""
    stop, hurry = threading.Event(), threading.Event()

    def on_signal(*_: object) -> None:
        (hurry if stop.is_set() else stop).set()

    signal.signal(signal.SIGTERM, on_signal)
    signal.signal(signal.SIGINT, on_signal)
    return stop, hurry


def _end_for_certain() -> None:
    """Exit even if a handler has left threads behind that do not end."""
    last_resort = threading.Timer(LAST_RESORT_SECONDS, os._exit, args=(0,))
    last_resort.daemon = True
    last_resort.start()
