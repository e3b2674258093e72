"""Keys of a terminal as they are pressed, without Return."""

from __future__ import annotations

import os
import select
import sys
import termios
import time
import tty
from collections.abc import Callable, Iterator
from contextlib import contextmanager

AT_ONCE_BYTES = 32

Pressed = Callable[[float], str]


@contextmanager
def keys() -> Iterator[Pressed]:
    """
    What was pressed, asked with how many seconds to wait for it; nothing where no keyboard is.

    Ctrl-C stays what it is.
    """
    if not sys.stdin.isatty():
        yield _nothing
        return
    terminal = sys.stdin.fileno()
    before = termios.tcgetattr(terminal)

    def pressed(within_seconds: float) -> str:
        ready, _, _ = select.select([terminal], [], [], within_seconds)
        return os.read(terminal, AT_ONCE_BYTES).decode(errors="replace") if ready else ""

    tty.setcbreak(terminal)
    try:
        yield pressed
    finally:
        termios.tcsetattr(terminal, termios.TCSADRAIN, before)


def _nothing(within_seconds: float) -> str:
    time.sleep(within_seconds)
    return ""
