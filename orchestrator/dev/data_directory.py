"""The folder in which `dibs dev` keeps everything: one holder at a time, closed to others."""

import fcntl
import os
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Self


class DirectoryHeldError(Exception):
    """Another process holds the data directory; the message says which."""


class DataDirectory:
    """
    A directory held while this object is entered.

    The lock is the kernel's (flock): it ends with its holder, however that
    ends, so a killed one never locks anybody out.

    Args:
        path: Made when missing; closed to other users either way.

    Raises:
        DirectoryHeldError: On entering, when a live process holds it.
    """

    def __init__(self, path: Path) -> None:
        self.path = path.absolute()
        self.holder_was_killed = False
        self._lock = -1

    def __enter__(self) -> Self:
        self.path.mkdir(parents=True, exist_ok=True)
        self.path.chmod(0o700)
        self._lock = os.open(self.path / "lock", os.O_RDWR | os.O_CREAT, 0o600)
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            holder = os.read(self._lock, 200).decode(errors="replace").strip()
            os.close(self._lock)
            raise DirectoryHeldError(
                f"{self.path} is in use by {holder or 'a process that is just starting'}"
            ) from None
        # Who ends in order empties the file: see __exit__.
        self.holder_was_killed = bool(os.read(self._lock, 1))
        self.note(f"pid {os.getpid()}")
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        os.ftruncate(self._lock, 0)
        os.close(self._lock)

    def note(self, holder: str) -> None:
        """Write down who holds the directory, for whoever finds it held."""
        os.ftruncate(self._lock, 0)
        os.pwrite(self._lock, f"{holder}\n".encode(), 0)

    def keep(self, name: str, text: str) -> Path:
        """Write a secret to a file that only its owner can read; what stood there is replaced."""
        path = self.path / name
        fresh = path.with_name(f"{name}.new")
        fresh.unlink(missing_ok=True)
        fresh.touch(mode=0o600)
        fresh.write_text(f"{text}\n", encoding="utf-8")
        return fresh.rename(path)

    def kept(self, name: str, make: Callable[[], str]) -> str:
        """The secret of this name: the one kept here, or a new one that is kept from now on."""
        path = self.path / name
        if not path.exists():
            self.keep(name, make())
        return path.read_text(encoding="utf-8").strip()

    def log_file(self, name: str) -> Path:
        """Where the process of this name writes its log; that of the start before moves aside."""
        logs = self.path / "logs"
        logs.mkdir(exist_ok=True)
        log = logs / f"{name}.log"
        if log.exists():
            log.replace(log.with_suffix(".log.1"))
        return log
