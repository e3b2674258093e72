"""Promises of times, held to where the machine gives the processes time to keep them."""

from __future__ import annotations

import os

from tests.chaos.fault import Fault

MOST_WAITING = 4
"""Processes for each core that want to run: with more, a time says how busy the machine is."""


def require_within(fault: Fault, what: str, seconds: float, bound_seconds: float) -> None:
    """
    Hold a time to its bound, and write it down.

    On a machine that has been overloaded for the last minute it is only written
    down, with the load.

    Raises:
        AssertionError: It took longer.
    """
    load, cores = os.getloadavg()[0], os.cpu_count() or 1
    judged = load <= MOST_WAITING * cores
    fault.note(
        f"{what}: {seconds:.2f} s at most, {bound_seconds:g} s are promised"
        + ("" if judged else f"; not judged, the load average was {load:.0f} on {cores} cores")
    )
    assert not judged or seconds <= bound_seconds, what
