"""What the bench's executors execute: nothing, or a note of when it began."""

import os
import time

from executor import App, StepContext

NOOP = "bench-noop"
STAMP = "bench-stamp"
# The pipe that `bench-stamp` writes to.
PIPE = "DIBS_BENCH_PIPE"

app = App()


@app.step(NOOP)
def noop(context: StepContext) -> None:
    """Do nothing."""


@app.step(STAMP)
def stamp(context: StepContext) -> None:
    """Write ``<runId> <nanoseconds>`` by the clock that all processes of a machine share."""
    began_at = time.clock_gettime_ns(time.CLOCK_MONOTONIC)
    pipe = os.open(os.environ[PIPE], os.O_WRONLY)
    try:
        os.write(pipe, f"{context.run.id} {began_at}\n".encode())
    finally:
        os.close(pipe)
