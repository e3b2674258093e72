"""Real executor processes: how fast they drain a backlog, and how soon they begin."""

import http.client
import os
import random
import secrets
import select
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import orjson

from orchestrator.dev.ports import LOOPBACK
from orchestrator.lifecycle import Role
from tests.bench import backlog
from tests.bench.failure import BenchError
from tests.bench.handlers import PIPE, STAMP
from tests.bench.stage import Stage

EXECUTORS = 2
SLOTS = 100
LOOK_SECONDS = 0.1
DRAIN_SECONDS = 300.0
START_SECONDS = 10.0
# Between two creates; spread, so that they fall anywhere into a poll's interval.
IDLE_SECONDS = (0.05, 0.3)
IDLE_SLOTS = 8


def drain(stage: Stage, runs: int) -> float:
    """
    Let executors that wait already execute a backlog of runs that do nothing.

    Returns:
        Runs per second, from the first claim to the last report.

    Raises:
        BenchError: It takes for ever, or a run was not finished exactly once.
    """
    queue = _fresh_queue()
    with stage.executors(EXECUTORS, queue=queue, slots=SLOTS):
        _pause(stage, queue, paused=True)
        backlog.fill(stage.owner, runs, queue=queue)
        _pause(stage, queue, paused=False)
        deadline = time.monotonic() + DRAIN_SECONDS
        while not backlog.is_drained(stage.owner):
            if time.monotonic() > deadline:
                raise BenchError(f"{runs} runs are not drained after {DRAIN_SECONDS:.0f} s")
            time.sleep(LOOK_SECONDS)
        return runs / backlog.drain_seconds(stage.owner, runs)


def create_to_start_ms(stage: Stage, creates: int) -> list[float]:
    """
    Create runs one at a time for executors that have nothing else to do.

    Returns:
        Milliseconds from the moment before each request is sent to the first
        line of its handler.
    """
    backlog.fill(stage.owner, 0)
    queue = _fresh_queue()
    path = stage.data.path / "started"
    with (
        _pipe(path) as pipe,
        closing(_connection(stage)) as connection,
        stage.executors(EXECUTORS, queue=queue, slots=IDLE_SLOTS, **{PIPE: str(path)}),
    ):
        # The first ones open connections and prepare statements.
        for _ in range(2 * EXECUTORS):
            _start_one(stage, queue, connection, pipe)
        return [_start_one(stage, queue, connection, pipe) for _ in range(creates)]


def _start_one(
    stage: Stage, queue: str, connection: http.client.HTTPConnection, pipe: int
) -> float:
    time.sleep(random.uniform(*IDLE_SECONDS))
    began_at = time.clock_gettime_ns(time.CLOCK_MONOTONIC)
    created = _post(stage, connection, "/v1/runs", {"workflow": STAMP, "queue": queue})
    if not select.select([pipe], [], [], START_SECONDS)[0]:
        raise BenchError(f"a run was not begun within {START_SECONDS:.0f} s")
    run_id, started_at = os.read(pipe, 4096).decode().split()
    if run_id != created["id"]:
        raise BenchError(f"run {created['id']} was created, {run_id} was executed")
    return (int(started_at) - began_at) / 1e6


def _fresh_queue() -> str:
    """A name of its own: a claim may still be parked for executors of an earlier sample."""
    return f"bench-{secrets.token_hex(4)}"


def _pause(stage: Stage, queue: str, *, paused: bool) -> None:
    """Hold the executors back, or let them go at once."""
    with closing(_connection(stage)) as connection:
        verb = "pause" if paused else "resume"
        _post(stage, connection, f"/v1/queues/{queue}/{verb}", {}, Role.OPERATOR)


def _connection(stage: Stage) -> http.client.HTTPConnection:
    return http.client.HTTPConnection(LOOPBACK, stage.port, timeout=START_SECONDS)


def _post(
    stage: Stage,
    connection: http.client.HTTPConnection,
    path: str,
    body: dict[str, str],
    role: Role = Role.CLIENT,
) -> dict[str, str]:
    headers = {
        "Authorization": f"Bearer {stage.tokens[role]}",
        "Content-Type": "application/json",
    }
    connection.request("POST", path, orjson.dumps(body), headers)
    answer = connection.getresponse()
    said = answer.read()
    if answer.status not in (200, 201):
        raise BenchError(f"POST {path}: {answer.status} {said.decode(errors='replace')}")
    read: dict[str, str] = orjson.loads(said)
    return read


@contextmanager
def _pipe(path: Path) -> Iterator[int]:
    os.mkfifo(path, 0o600)
    # For both ends, so that it stays open while nobody writes.
    pipe = os.open(path, os.O_RDWR)
    try:
        yield pipe
    finally:
        os.close(pipe)
        path.unlink()
