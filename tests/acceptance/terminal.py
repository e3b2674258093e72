"""A terminal in which a command runs, and what can be read on it."""

from __future__ import annotations

import fcntl
import os
import pty
import select
import signal
import struct
import subprocess
import sys
import termios
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field

from tests.acceptance.waiting import PATIENCE_SECONDS, eventually

CTRL_C = "\x03"
SHOWN_CHARACTERS = 3_000


@dataclass
class Terminal:
    """
    One command on a terminal of its own.

    Attributes:
        shown: All that was written to it, escape codes and all.
    """

    process: subprocess.Popen[bytes]
    master: int
    shown: str = field(default="")

    def press(self, keys: str) -> None:
        os.write(self.master, keys.encode())

    def wait_for(self, text: str) -> None:
        """Wait until this text was written."""
        try:
            eventually(lambda: self._read() or text in self.shown or self._has_ended())
            self._read()
            assert text in self.shown
        except AssertionError as late:
            raise AssertionError(
                f"{text!r} is not shown by {self.shown[-SHOWN_CHARACTERS:]!r}"
            ) from late

    def wait_for_exit(self) -> int:
        """Read to the end; the exit code."""
        eventually(lambda: self._read() or self._has_ended(), what="it has ended")
        self._read()
        return self.process.wait()

    def _has_ended(self) -> bool:
        return self.process.poll() is not None

    def _read(self) -> None:
        """Take what there is to read, without waiting."""
        while select.select([self.master], [], [], 0)[0]:
            try:
                data = os.read(self.master, 65_536)
            except OSError:
                # The other side has been closed.
                return
            if not data:
                return
            self.shown += data.decode(errors="replace")


@contextmanager
def on_terminal(
    words: Sequence[str], environment: Mapping[str, str], *, columns: int = 80, lines: int = 24
) -> Iterator[Terminal]:
    """`dibs <words>` on a terminal of this size; it is gone at the end of the block."""
    master, slave = pty.openpty()
    fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", lines, columns, 0, 0))
    process = subprocess.Popen(
        [sys.executable, "-m", "orchestrator", *words],
        stdin=slave,
        stdout=slave,
        stderr=slave,
        env=dict(environment),
        start_new_session=True,
        preexec_fn=_take_the_terminal,
    )
    os.close(slave)
    try:
        yield Terminal(process, master)
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait(PATIENCE_SECONDS)
        os.close(master)


def _take_the_terminal() -> None:
    # So that Ctrl-C reaches the process as a signal.
    fcntl.ioctl(0, termios.TIOCSCTTY, 0)
