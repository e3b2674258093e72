"""The process that serves: granian, a few workers, an orderly end.

SIGTERM reaches granian's main process, which tells its workers, which stop
listening and finish what they have. What granian does not know is that some of
that is only waiting: each worker is told by a byte in its signal wake-up pipe,
and answers its parked requests at once.
"""

from __future__ import annotations

import functools
import gc
import os
import resource
import signal
import socket
import threading
from collections.abc import Callable
from typing import Any, Final

from granian.constants import HTTPModes, Interfaces
from granian.http import HTTP1Settings
from granian.log import LogLevels
from granian.server import MPServer

from orchestrator.api.context import services_of
from orchestrator.api.levels import start_publishing
from orchestrator.api.slow_bodies import SlowBodies
from orchestrator.app import create_app
from orchestrator.collector import open_collector
from orchestrator.desk.server_watch import watch_servers
from orchestrator.edge import Edge
from orchestrator.logs import configure_logs
from orchestrator.metrics.meter import Meter
from orchestrator.metrics.rows import Rows
from orchestrator.settings import Settings, forget_secrets
from orchestrator.worker import serve_worker

# Together within the ten seconds that a restart may take.
FINISH_SECONDS: Final = 8
HEADERS_WITHIN_MS: Final = 10_000
# The buffer is looked at after each read, and a read may double it.
MAX_HEADERS_BYTES: Final = 32 * 1024
_PARENT_CHECK_SECONDS: Final = 1.0
# Every connection counts, also one on which nothing is asked at present: a client keeps
# some open, and those must not keep others out.
_IDLE_CONNECTIONS: Final = 1_024
# What else a process has open, beside its connections to the database.
_OTHER_DESCRIPTORS: Final = 64
# A claim of fifty runs alone makes as many objects as Python's 2,000 allow between two
# collections, and leaves none of them in a cycle: a tenth of the process's time.
_OBJECTS_BETWEEN_COLLECTIONS: Final = 50_000

_LOGS_TO_STDERR: Final = {
    "handlers": {
        name: {
            "formatter": "generic",
            "class": "logging.StreamHandler",
            "stream": "ext://sys.stderr",
        }
        for name in ("console", "access")
    }
}


class ListenError(Exception):
    """The address cannot be listened on."""


def serve(settings: Settings) -> None:
    """
    Serve until SIGTERM or SIGINT; then finish what was begun, and return.

    A worker that dies is replaced; one that dies again and again ends the
    process with status 1.

    Raises:
        ListenError: The address is in use, or is none of this machine's.
    """
    # Settings have them; nothing else that runs here needs them.
    forget_secrets(os.environ)
    _require_free(settings.host, settings.port)
    server = MPServer(
        "orchestrator",
        address=settings.host,
        port=settings.port,
        interface=Interfaces.WSGI,
        workers=settings.workers,
        blocking_threads=settings.threads,
        # What is beyond waits in the socket's backlog, not in memory.
        backpressure=_connections(settings),
        http=HTTPModes.http1,
        websockets=False,
        http1_settings=HTTP1Settings(
            header_read_timeout=HEADERS_WITHIN_MS, max_buffer_size=MAX_HEADERS_BYTES
        ),
        respawn_failed_workers=True,
        workers_kill_timeout=FINISH_SECONDS,
        log_level=LogLevels.error,
        log_dictconfig=_LOGS_TO_STDERR,
    )
    server.serve(
        spawn_target=serve_worker,
        target_loader=functools.partial(
            _load_worker, settings, os.getpid(), Rows(settings.workers)
        ),
        wrap_loader=False,
    )
    # A second SIGTERM may come while the interpreter ends; it must not change
    # the exit status of a process that has finished in order.
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, signal.SIG_IGN)


def _require_free(host: str, port: int) -> None:
    # Granian's workers share their port, and so would a second server: half of
    # the requests would reach either. Asked without sharing, the port is busy.
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        with socket.socket(family, kind, protocol) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(address)
    except OSError as error:
        raise ListenError(f"Cannot listen on {host}:{port}: {error.strerror}.") from error


def _connections(settings: Settings) -> int:
    """
    How many connections one worker takes; this process may open as many files from now on.

    Never more than it may open files: a worker that can open none any more has no database.
    """
    wanted = settings.threads + _IDLE_CONNECTIONS
    others = settings.work_connections + settings.lease_connections + _OTHER_DESCRIPTORS
    allowed, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    if allowed < wanted + others:
        allowed = wanted + others if most == resource.RLIM_INFINITY else min(wanted + others, most)
        resource.setrlimit(resource.RLIMIT_NOFILE, (allowed, most))
    return max(1, min(wanted, allowed - others))


def _load_worker(settings: Settings, server_pid: int, rows: Rows) -> Callable[[int], Edge]:
    """What starts a worker, once it knows its number."""
    return functools.partial(_start_worker, settings, server_pid, rows)


def _start_worker(settings: Settings, server_pid: int, rows: Rows, number: int) -> Edge:
    """
    Make one worker's application and its edge; called in the worker's main thread.

    Args:
        number: From 1; who takes the place of another has its number.
    """
    configure_logs(settings.log_level)
    draining = threading.Event()
    # Here: its thread would not come along into a process that is forked.
    collector = open_collector(os.environ)
    app = create_app(
        settings,
        draining=draining,
        meter=Meter(rows.row(number - 1), rows),
        tracer=collector.tracer if collector else None,
    )
    keeper, bell = services_of(app).keeper, services_of(app).bell
    # Renewals find a thread however many requests wait and however many bodies are slow.
    bodies = SlowBodies(at_once=max(1, (settings.threads - settings.parked_claims) // 4))
    keeper.start()
    bell.start()
    services_of(app).activity.start()
    threading.Thread(target=services_of(app).readiness.warn, name="role-watch", daemon=True).start()
    watch_servers(settings.postgres_url, services_of(app).database.primary, draining=draining)
    bodies.start()
    start_publishing(services_of(app))
    # What is there now stays: it need not be looked at again and again.
    gc.freeze()
    gc.set_threshold(_OBJECTS_BETWEEN_COLLECTIONS)

    def end() -> None:
        draining.set()
        bodies.hurry()
        keeper.stop()
        bell.stop()

    on_end(end, parent=server_pid)

    def served() -> None:
        services_of(app).activity.stop()
        if collector:
            collector.end()

    return Edge(app, bodies, on_served=served)


def on_end(tell: Callable[[], Any], *, parent: int) -> None:
    """
    Call `tell` once when this process is told to end, or its parent is gone.

    Python writes every signal to the wake-up descriptor, whoever handles it:
    granian's own handlers stay as they are. Only for a main thread.

    Args:
        parent: Its process id; told, not asked for: it may be gone before this begins.
    """
    woken, wakes = socket.socketpair()
    woken.settimeout(_PARENT_CHECK_SECONDS)
    wakes.setblocking(False)
    # Detached: it stays open for as long as signals may come.
    signal.set_wakeup_fd(wakes.detach(), warn_on_full_buffer=False)

    def watch() -> None:
        while not _is_told_to_end(woken):
            if os.getppid() != parent:
                os.kill(os.getpid(), signal.SIGTERM)
        tell()

    threading.Thread(target=watch, name="end-watch", daemon=True).start()


def _is_told_to_end(woken: socket.socket) -> bool:
    try:
        return bool({signal.SIGTERM, signal.SIGINT} & set(woken.recv(64)))
    except TimeoutError:
        return False
