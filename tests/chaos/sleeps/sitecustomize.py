"""Loaded by each Python that has a wrong clock: `time.sleep` by another call of the system.

libfaketime 0.9.10 takes the false date for what CLOCK_MONOTONIC shows when it passes on
`clock_nanosleep`, so that each `time.sleep` ends with EINVAL. Nothing else is different.
"""

import select
import time


def sleep(seconds: float) -> None:
    select.select([], [], [], seconds)


time.sleep = sleep
