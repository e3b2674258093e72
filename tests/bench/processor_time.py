"""Processor time: which program took how much of it, by what the kernel counts.

A rate depends on what else the machine does; the processor time of one run
hardly does. Only Linux tells it of programs that are not ours to wait for:
elsewhere there is none in the results.
"""

import os
import resource
from collections.abc import Mapping, Sequence
from pathlib import Path

PROCESSES = Path("/proc")
_TICKS_PER_SECOND = os.sysconf("SC_CLK_TCK")


class ProcessorTime:
    """
    What programs have taken since this was made.

    Args:
        programs: The first process of each; what it starts counts as its own.
    """

    def __init__(self, programs: Mapping[str, Sequence[int]]) -> None:
        self._programs = programs
        self._before = _seconds(programs)

    def ms_per_run(self, runs: int) -> dict[str, float]:
        """Milliseconds of one core for each of so many runs, by program."""
        after = _seconds(self._programs)
        return {name: (after[name] - self._before[name]) * 1000 / runs for name in after}


def ended_children_seconds() -> float:
    """What all ended children of this process have taken."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def workers_of(server: int) -> list[int]:
    """The processes in which a server serves: those that it has started, or itself."""
    started = [pid for pid, parent in _parents().items() if parent == server]
    return [pid for pid in started if "resource_tracker" not in _command(pid)] or [server]


def _seconds(programs: Mapping[str, Sequence[int]]) -> dict[str, float]:
    if not (PROCESSES / "self" / "stat").exists():
        return {}
    parents = _parents()
    return {name: sum(_tree(pid, parents) for pid in pids) for name, pids in programs.items()}


def _tree(pid: int, parents: Mapping[int, int]) -> float:
    """Its own time, that of its ended children, and that of the living."""
    stat = _stat(pid)
    own = sum(map(int, stat[11:15])) / _TICKS_PER_SECOND if stat else 0.0
    return own + sum(_tree(child, parents) for child, parent in parents.items() if parent == pid)


def _parents() -> dict[int, int]:
    if not PROCESSES.exists():
        return {}
    pids = [int(path.name) for path in PROCESSES.iterdir() if path.name.isdigit()]
    return {pid: int(stat[1]) for pid in pids if (stat := _stat(pid))}


def _command(pid: int) -> str:
    try:
        return (PROCESSES / str(pid) / "cmdline").read_text(encoding="utf-8", errors="replace")
    except (FileNotFoundError, ProcessLookupError):
        return ""


def _stat(pid: int) -> list[str]:
    """The fields behind the process's name, which may hold anything; none when it has ended."""
    try:
        text = (PROCESSES / str(pid) / "stat").read_text(encoding="utf-8", errors="replace")
    except (FileNotFoundError, ProcessLookupError):
        return []
    return text.rpartition(")")[2].split()
