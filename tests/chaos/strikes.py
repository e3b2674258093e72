"""What is done to an installation: each kind of blow, and when it fell."""

from __future__ import annotations

import os
import random
import signal
import time
from collections.abc import Callable
from contextlib import closing, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import psycopg

from orchestrator.lifecycle import Role
from tests.acceptance.processes import Orchestrator
from tests.chaos.site import Site

EXECUTOR = "executor"
WORKER = "server process"
ORCHESTRATORS = "all orchestrators"
BACKEND = "backend"
POSTGRES = "postgres"
RESTART = "restart"


@dataclass(frozen=True)
class Struck:
    """
    One blow.

    Attributes:
        kind: What was struck.
        who: Its name; an executor's is its full one.
        at: When recovery could begin: for Postgres, when it accepted connections again.
    """

    kind: str
    who: str
    at: datetime


Strike = Callable[[Site, random.Random], Struck]


def kill_executor(site: Site, chance: random.Random) -> Struck:
    """kill -9 one executor, and start another in its place."""
    victim = chance.choice(site.executors)
    victim.kill()
    struck = Struck(EXECUTOR, f"{Role.EXECUTOR.value}:{victim.name}", _now())
    victim.launch()
    return struck


def kill_worker(site: Site, chance: random.Random) -> Struck:
    """kill -9 one process that serves requests; its server starts another."""
    orchestrator = chance.choice(site.nodes).orchestrator
    victim = _kill_one(site, chance, lambda: workers_of(orchestrator), orchestrator.name)
    return Struck(WORKER, f"{orchestrator.name}/{victim}", _now())


def kill_orchestrators(site: Site, chance: random.Random) -> Struck:
    """kill -9 every process of every orchestrator, keepers and all, and start them again."""
    for node in site.nodes:
        node.orchestrator.kill()
    struck = Struck(ORCHESTRATORS, "all", _now())
    for node in site.nodes:
        node.orchestrator.launch()
    return struck


def restart_orchestrators(site: Site, chance: random.Random) -> Struck:
    """
    SIGTERM to one orchestrator after the other; the next one when this one is ready again.

    Raises:
        AssertionError: One did not end in order.
    """
    struck = Struck(RESTART, "all", _now())
    for node in site.nodes:
        node.orchestrator.ask_to_end()
        assert node.orchestrator.wait_for_exit() == 0, node.orchestrator.name
        node.orchestrator.launch()
        site.wait(node.orchestrator.is_ready, what=f"{node.orchestrator.name} is ready")
    return struck


def kill_backend(site: Site, chance: random.Random) -> Struck:
    """kill -9 one backend that serves an orchestrator: Postgres then ends all others, too."""
    victim = _kill_one(site, chance, lambda: _backends(site), "Postgres")
    return Struck(BACKEND, str(victim), _now())


def crash_postgres(site: Site, chance: random.Random) -> Struck:
    """Stop Postgres as a crash does; it recovers from its log."""
    site.postgres.stop(immediate=True)
    time.sleep(chance.uniform(0, 1))
    site.postgres.start()
    return Struck(POSTGRES, "immediate", _now())


def workers_of(orchestrator: Orchestrator) -> list[int]:
    """The processes by which an orchestrator serves, as long as it runs."""
    if orchestrator.has_ended():
        return []
    main = orchestrator.process.pid
    try:
        children = Path(f"/proc/{main}/task/{main}/children").read_text().split()
    except OSError:
        return []
    return sorted(int(child) for child in children if _serves(int(child)))


def _serves(pid: int) -> bool:
    """Whether this is no helper of Python's own."""
    try:
        return b"resource_tracker" not in Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return False


def _backends(site: Site) -> list[int]:
    try:
        with closing(psycopg.connect(site.database.owner_url)) as owner:
            rows = owner.execute(
                """
                SELECT pid FROM pg_stat_activity
                 WHERE datname = current_database() AND usename = %s ORDER BY pid
                """,
                [site.database.service_role],
            )
            return [pid for (pid,) in rows]
    except psycopg.OperationalError:
        return []


def _kill_one(site: Site, chance: random.Random, look: Callable[[], list[int]], whose: str) -> int:
    """Kill one of the processes that `look` finds; whoever ends by himself meanwhile is none."""
    killed: list[int] = []

    def strike() -> bool:
        if found := look():
            victim = chance.choice(found)
            with suppress(ProcessLookupError):
                os.kill(victim, signal.SIGKILL)
                killed.append(victim)
        return bool(killed)

    site.wait(strike, what=f"{whose} has a process to kill")
    return killed[0]


def _now() -> datetime:
    return datetime.now(UTC)
