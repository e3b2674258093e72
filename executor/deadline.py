"""The executor's own clock, and until when it may trust a lease.

Only the database's clock decides whether a lease has expired. This one decides
something else: when this process must stop by itself because it can no longer
know that it holds the lease.
"""

import time

# CLOCK_MONOTONIC stands still while the machine is suspended, the database does
# not: only CLOCK_BOOTTIME notices that a closed laptop has slept through a lease.
_CLOCK = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)

LONGEST_MARGIN_SECONDS = 2.0


def monotonic_seconds() -> float:
    """Seconds on a clock that never steps and that counts suspended time."""
    return time.clock_gettime(_CLOCK)


def own_deadline(sent_at: float, lease_seconds: float) -> float:
    """
    The moment after which a lease may be another executor's.

    The orchestrator cannot have counted from before the request left here, so
    the time at which it was sent is the only safe start.

    Args:
        sent_at: When the answered claim or renewal was sent, on this clock.
        lease_seconds: The length of the lease that it granted.
    """
    return sent_at + lease_seconds - margin_seconds(lease_seconds)


def margin_seconds(lease_seconds: float) -> float:
    """What is kept back of a lease for noticing its end and stopping the work."""
    return min(lease_seconds / 10, LONGEST_MARGIN_SECONDS)
