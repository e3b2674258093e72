"""The processes of one data directory: database, orchestrator, executors."""

import secrets
import time
from collections import defaultdict
from collections.abc import Callable
from types import TracebackType
from typing import Self

import psycopg

from orchestrator import schema
from orchestrator.dev import programs
from orchestrator.dev.access import keep_token
from orchestrator.dev.child import Child
from orchestrator.dev.data_directory import DataDirectory
from orchestrator.dev.embedded import EmbeddedPostgres
from orchestrator.dev.ports import LOOPBACK
from orchestrator.dev.provision import create_database, ensure_role, provision
from orchestrator.lifecycle import Role

DATABASE = "dibs"
SERVICE_ROLE = "dibs_service"
EXECUTOR_TOKEN = "demo-token"  # noqa: S105 - a file's name
STOP_TIMEOUT_SECONDS = 12.0
# What ended so often within so short a time would do so for ever.
MOST_RESTARTS = 3
RESTARTS_WITHIN_SECONDS = 30.0


class Stack:
    """
    Everything that `dibs dev` runs, started step by step and ended in reverse.

    Executors end first (they finish or give back what they hold), then the
    orchestrator, then Postgres.

    Args:
        data: The directory held by this process.
        say: Told in a few words what goes on.
    """

    def __init__(self, data: DataDirectory, say: Callable[[str], None]) -> None:
        self.url = ""
        self.operator_token = ""
        self._data = data
        self._say = say
        self._service_url = ""
        self._postgres: EmbeddedPostgres | None = None
        self._orchestrator: Child | None = None
        self._executors: list[Child] = []
        self._restarts: defaultdict[Child, list[float]] = defaultdict(list)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        for executor in self._executors:
            executor.ask_to_end()
        for executor in self._executors:
            executor.end(STOP_TIMEOUT_SECONDS)
        if self._orchestrator is not None:
            self._orchestrator.end(STOP_TIMEOUT_SECONDS)
        if self._postgres is not None:
            self._postgres.stop()

    def start_database(self, given_url: str | None) -> None:
        """
        Bring up a database with the schema of this version and a login that may serve.

        Args:
            given_url: The owner's URL of a database to use instead of the embedded one.
        """
        if given_url is None:
            self._postgres = EmbeddedPostgres(self._data.path / "postgres", on_progress=self._say)
            self._postgres.start()
            owner_url = create_database(self._postgres.owner_url, DATABASE)
            role = SERVICE_ROLE
        else:
            owner_url = given_url
            # Roles belong to the whole server: never touch one that others may use.
            role = self._data.kept("service-role", lambda: f"dibs_dev_{secrets.token_hex(4)}")
        password = self._data.kept("service-password", lambda: secrets.token_hex(16))
        try:
            self._service_url = ensure_role(owner_url, role, password)
        except psycopg.errors.InsufficientPrivilege:
            self._say(
                "this login may not create roles: serving with it, not with one of few rights"
            )
            self._service_url = owner_url
            schema.upgrade(owner_url, report=self._say_migration)
        else:
            provision(owner_url, role, report=self._say_migration)
        self.operator_token = keep_token(owner_url, self._data, "operator", Role.OPERATOR)
        keep_token(owner_url, self._data, "demo", Role.EXECUTOR)

    def start_orchestrator(self, port: int) -> None:
        """Start the orchestrator on this port and wait until it is ready."""
        self._say("starting the orchestrator")
        self.url = f"http://{LOOPBACK}:{port}"
        self._orchestrator = programs.orchestrator(
            self._data,
            service_url=self._service_url,
            secret_key=self._data.kept("secret-key", lambda: secrets.token_hex(32)),
            port=port,
        )
        self._orchestrator.start()
        self._orchestrator.wait_until_ready()

    def join(self, url: str, operator_token: str, executor_token: str) -> None:
        """Use an orchestrator that runs already, instead of starting a database and one."""
        self.url = url
        self.operator_token = operator_token
        self._data.keep(EXECUTOR_TOKEN, executor_token)

    def start_executor(self, name: str, app: str, port: int, **settings: str) -> None:
        """Start an executor; `wait_for_executors` waits until it can be used."""
        executor = programs.executor(
            self._data,
            name,
            app,
            orchestrator_url=self.url,
            token_file=self._data.path / EXECUTOR_TOKEN,
            port=port,
            settings=settings,
        )
        self._executors.append(executor)
        executor.start()

    def wait_for_executors(self) -> None:
        """Wait until every executor that was started can be used."""
        for executor in self._executors:
            executor.wait_until_ready()

    def supervise(self) -> None:
        """
        Start again what ended by itself; call it now and then.

        Raises:
            ChildError: It ends again and again.
        """
        if self._postgres is not None and self._postgres.has_ended():
            self._say("Postgres ended: starting it again")
            self._postgres.restart()
        for child in filter(None, (self._orchestrator, *self._executors)):
            if child.exit_code() is None:
                continue
            now = time.monotonic()
            recent = [at for at in self._restarts[child] if now - at < RESTARTS_WITHIN_SECONDS]
            if len(recent) == MOST_RESTARTS:
                raise child.error(f"ended with {child.exit_code()} again and again")
            self._restarts[child] = [*recent, now]
            self._say(f"{child.name} ended with {child.exit_code()}: starting it again")
            child.start()

    def _say_migration(self, line: str) -> None:
        self._say(f"migration {line}")
