"""How soon a run begins on an idle system, from its create to its handler."""

import http.client
import os
import random
import select
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.bench import backlog
from tests.bench.calling import connect, fresh_queue, post
from tests.bench.drain import EXECUTOR_PROCESSES
from tests.bench.failure import BenchError
from tests.bench.handlers import PIPE, STAMP
from tests.bench.stage import Stage

START_SECONDS = 10.0
# Between two creates; spread, so that they fall anywhere into a poll's interval.
IDLE_SECONDS = (0.05, 0.3)
IDLE_SLOTS = 8


@dataclass(frozen=True)
class Start:
    """
    One run on an idle system, in milliseconds from the moment before it was created.

    Attributes:
        answered_ms: Until its create was answered.
        begun_ms: Until the first line of its handler.
    """

    answered_ms: float
    begun_ms: float


def create_to_start(stage: Stage, creates: int) -> list[Start]:
    """Create runs one at a time for executors that have nothing else to do."""
    backlog.fill(stage.owner, 0)
    queue = fresh_queue()
    path = stage.data.path / "started"
    with (
        _pipe(path) as pipe,
        closing(connect(stage)) as connection,
        stage.executors(EXECUTOR_PROCESSES, queue=queue, slots=IDLE_SLOTS, **{PIPE: str(path)}),
    ):
        # The first ones open connections and prepare statements.
        for _ in range(2 * EXECUTOR_PROCESSES):
            _start_one(stage, queue, connection, pipe)
        return [_start_one(stage, queue, connection, pipe) for _ in range(creates)]


def _start_one(
    stage: Stage, queue: str, connection: http.client.HTTPConnection, pipe: int
) -> Start:
    time.sleep(random.uniform(*IDLE_SECONDS))
    began_at = time.clock_gettime_ns(time.CLOCK_MONOTONIC)
    created = post(stage, connection, "/v1/runs", {"workflow": STAMP, "queue": queue})
    answered_at = time.clock_gettime_ns(time.CLOCK_MONOTONIC)
    if not select.select([pipe], [], [], START_SECONDS)[0]:
        raise BenchError(f"a run was not begun within {START_SECONDS:.0f} s")
    run_id, started_at = os.read(pipe, 4096).decode().split()
    if run_id != created["id"]:
        raise BenchError(f"run {created['id']} was created, {run_id} was executed")
    return Start((answered_at - began_at) / 1e6, (int(started_at) - began_at) / 1e6)


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
