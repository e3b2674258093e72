"""Being told to end: Ctrl-C, SIGTERM, a terminal that was closed."""

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

ENDINGS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


@contextmanager
def interrupted_once() -> Iterator[None]:
    """
    The first signal to end raises KeyboardInterrupt; those that follow do nothing.

    So whatever the first one interrupts is wound up in order, however often
    somebody presses Ctrl-C meanwhile. Only for the main thread.
    """

    def interrupt(_number: int, _frame: FrameType | None) -> None:
        for ending in ENDINGS:
            signal.signal(ending, signal.SIG_IGN)
        raise KeyboardInterrupt

    before = {ending: signal.signal(ending, interrupt) for ending in ENDINGS}
    try:
        yield
    finally:
        for ending, handler in before.items():
            signal.signal(ending, handler)
