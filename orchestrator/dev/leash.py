"""A leash: what ends a child process when its parent dies, even by kill -9."""

import ctypes
import os
import signal
import sys
import threading
from collections.abc import Callable

PR_SET_PDEATHSIG = 1


def leash(with_signal: signal.Signals) -> Callable[[], None] | None:
    """
    The `preexec_fn` that ties a child to this process.

    Linux sends the signal when the *thread* that forked ends, so children are
    started from the main thread, which this insists on. A child that changes
    its credentials afterwards (unshare, setpriv) loses the leash and has to
    take it up again. Elsewhere than on Linux there is no leash: None.
    """
    if sys.platform != "linux":
        return None
    if threading.current_thread() is not threading.main_thread():
        raise RuntimeError("a leashed child must be started from the main thread")
    prctl = ctypes.CDLL(None, use_errno=True).prctl
    parent = os.getpid()

    def tie() -> None:
        prctl(PR_SET_PDEATHSIG, int(with_signal), 0, 0, 0)
        # The parent may have died between the fork and the call above.
        if os.getppid() != parent:
            os._exit(1)

    return tie
