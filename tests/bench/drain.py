"""How fast real executor processes execute a backlog."""

import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, closing, nullcontext

from orchestrator.lifecycle import Role
from tests.bench import backlog
from tests.bench.calling import connect, fresh_queue, post
from tests.bench.failure import BenchError
from tests.bench.processor_time import ProcessorTime
from tests.bench.stage import EXECUTORS, Stage

EXECUTOR_PROCESSES = 2
SLOTS = 250
LOOK_SECONDS = 0.1
DRAIN_SECONDS = 300.0

Programs = Mapping[str, Sequence[int]]


def _unwatched(programs: Programs) -> AbstractContextManager[None]:
    return nullcontext()


def drain(
    stage: Stage,
    runs: int,
    watching: Callable[[Programs], AbstractContextManager[None]] = _unwatched,
) -> tuple[float, dict[str, float]]:
    """
    Let executors that wait already execute a backlog of runs that do nothing.

    Args:
        watching: Entered with the process ids by program while they do.

    Returns:
        Runs per second, from the first claim to the last report, and the
        processor time of one run by program.

    Raises:
        BenchError: It takes for ever, or a run was not finished exactly once.
    """
    queue = fresh_queue()
    with stage.executors(EXECUTOR_PROCESSES, queue=queue, slots=SLOTS) as pids:
        _pause(stage, queue, paused=True)
        backlog.fill(stage.owner, runs, queue=queue)
        programs = {**stage.programs, EXECUTORS: pids}
        with watching(programs):
            taken = ProcessorTime(programs)
            _pause(stage, queue, paused=False)
            _wait_until_drained(stage, runs)
            cpu_ms = taken.ms_per_run(runs)
        return runs / backlog.drain_seconds(stage.owner, runs), cpu_ms


def _wait_until_drained(stage: Stage, runs: int) -> None:
    deadline = time.monotonic() + DRAIN_SECONDS
    while not backlog.is_drained(stage.owner):
        if time.monotonic() > deadline:
            raise BenchError(f"{runs} runs are not drained after {DRAIN_SECONDS:.0f} s")
        time.sleep(LOOK_SECONDS)


def _pause(stage: Stage, queue: str, *, paused: bool) -> None:
    """Hold the executors back, or let them go at once."""
    with closing(connect(stage)) as connection:
        verb = "pause" if paused else "resume"
        post(stage, connection, f"/v1/queues/{queue}/{verb}", {}, Role.OPERATOR)
