"""TCP ports on the loopback address."""

import socket
import time
from contextlib import ExitStack

LOOPBACK = "127.0.0.1"


def free_ports(count: int) -> list[int]:
    """Different ports that nobody listens on now; others may take them before they are used."""
    with ExitStack() as held:
        probes = [held.enter_context(socket.socket()) for _ in range(count)]
        for probe in probes:
            probe.bind((LOOPBACK, 0))
        return [int(probe.getsockname()[1]) for probe in probes]


def is_free(port: int) -> bool:
    """Whether a server could listen on this port now."""
    with socket.socket() as probe:
        # As servers do: a port in TIME_WAIT is free, one with a listener is not.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((LOOPBACK, port))
        except OSError:
            return False
        return True


def next_free_port(first: int) -> int:
    """The lowest free port from `first` on."""
    return next(port for port in range(first, 65536) if is_free(port))


def wait_until_free(port: int, within_seconds: float) -> None:
    """Wait for a port that its last user is about to give up; no longer than this."""
    deadline = time.monotonic() + within_seconds
    while not is_free(port) and time.monotonic() < deadline:
        time.sleep(0.1)
