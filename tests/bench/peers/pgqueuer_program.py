"""
PgQueuer's side, run by the interpreter of PgQueuer's own environment.

`fill <jobs>` makes the tables and so many jobs; `work <managers> <batch size>`
says it is ready, waits for a line, drains the queue, and prints how many jobs it
executed and when the first began, in nanoseconds of the clock that all processes share.
"""

import asyncio
import os
import sys
import time

import asyncpg
import uvloop
from pgqueuer import PgQueuer
from pgqueuer.db import AsyncpgDriver
from pgqueuer.models import Job
from pgqueuer.queries import Queries
from pgqueuer.types import QueueExecutionMode

ENTRYPOINT = "noop"


def say(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


async def connected() -> AsyncpgDriver:
    return AsyncpgDriver(await asyncpg.connect(os.environ["BENCH_URL"]))


async def fill(jobs: int) -> None:
    driver = await connected()
    queries = Queries(driver)
    if not await queries.has_table(queries.qbe.settings.queue_table):
        await queries.install()
        await queries.optimize_autovacuum()
    await queries.clear_queue()
    await queries.clear_queue_log()
    await queries.enqueue([ENTRYPOINT] * jobs, [None] * jobs, [0] * jobs)


async def work(managers: int, batch_size: int) -> None:
    began_at = executed = 0
    queues = [PgQueuer(await connected()) for _ in range(managers)]
    for queue in queues:

        @queue.entrypoint(ENTRYPOINT)
        async def noop(job: Job) -> None:
            nonlocal began_at, executed
            if not executed:
                began_at = time.clock_gettime_ns(time.CLOCK_MONOTONIC)
            executed += 1

    say("ready")
    sys.stdin.readline()
    await asyncio.gather(
        *(queue.run(batch_size=batch_size, mode=QueueExecutionMode.drain) for queue in queues)
    )
    say(f"{executed} {began_at}")


if __name__ == "__main__":
    verb, *numbers = sys.argv[1:]
    uvloop.run({"fill": fill, "work": work}[verb](*map(int, numbers)))
