"""Spin: builds a model's verifier, lets it search all states, and reads what it says."""

from __future__ import annotations

import re
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

from tests.model.cases import Case, Kind

INSTALL = "install spin and a C compiler (Debian: apt-get install spin gcc)"
MEMORY_MEGABYTES = 2_000
SEARCH_SECONDS = 600
# Deeper than any path of the models; one that is deeper fails the search.
DEPTH = 100_000

_VIOLATED = re.compile(r"^pan:\d+: assertion violated (.+?) \(at depth \d+\)", re.MULTILINE)
_CYCLE = re.compile(r"^pan:\d+: acceptance cycle", re.MULTILINE)
_ERRORS = re.compile(r"depth reached (\d+),.*errors: (\d+)")
_STATES = re.compile(r"^\s*(\d+) states, stored", re.MULTILINE)
_MEMORY = re.compile(r"^\s*([\d.]+)\s+total actual memory usage", re.MULTILINE)
_SECONDS = re.compile(r"elapsed time ([\d.e+-]+) seconds")
# What makes a search less than a whole one.
_CUT_SHORT = ("max search depth too small", "out of memory", "-DMEMLIM bound")
# Also said, and rightly, of a search that ended because it has found something.
_NOT_COMPLETED = "Search not completed"


class SpinError(Exception):
    """Spin, the compiler or the verifier did not do its work."""


@dataclass(frozen=True)
class Search:
    """
    What a verifier has found.

    Attributes:
        broken: The promise that does not hold on the path that was found; None: all hold.
        story: What happens on that path, a line for each act.
    """

    states: int
    depth: int
    seconds: float
    megabytes: float
    broken: str | None
    story: tuple[str, ...] = ()


def missing() -> list[str]:
    """The programs that are not there."""
    return [program for program in ("spin", "gcc") if shutil.which(program) is None]


def version() -> str:
    """Which Spin this is."""
    return _run(["spin", "-V"], Path.cwd()).strip()


def search(case: Case, folder: Path) -> Search:
    """
    Search all states of a case's model, or until a promise breaks.

    Args:
        folder: Empty; what Spin writes stays there.

    Raises:
        SpinError: The search was cut short, or did not begin.
    """
    model = Path(shutil.copy(case.model, folder))
    defines = [f"-D{define}" for define in case.defines]
    _run(["spin", *defines, "-a", model.name], folder)
    # Breadth first the path to an error is the shortest one; a search of everything
    # is quicker depth first.
    way = [] if case.of_an_end else ["-DSAFETY"]
    if case.breaks is not None and not case.of_an_end:
        way.append("-DBFS")
    # What finds something soon is built sooner than it is searched.
    optimised = "-O2" if case.kind in (Kind.HOLDS, Kind.ENDS) else "-O0"
    options = [optimised, "-w", "-DCOLLAPSE", f"-DMEMLIM={MEMORY_MEGABYTES}", "-DNFAIR=3", *way]
    _run(["gcc", *options, "-o", "pan", "pan.c"], folder)
    # -n: what was never reached is no finding here.
    said = _run(["./pan", "-n", f"-m{DEPTH}", *(["-a", "-f"] if case.of_an_end else [])], folder)
    return _read(said, case, model, defines)


def _read(said: str, case: Case, model: Path, defines: list[str]) -> Search:
    for words in _CUT_SHORT:
        if words in said:
            raise SpinError(f"{case.name}: not all states were searched: {words}\n{said}")
    ends, states = _ERRORS.search(said), _STATES.search(said)
    memory, seconds = _MEMORY.search(said), _SECONDS.search(said)
    if ends is None or states is None or memory is None:
        raise SpinError(f"{case.name}: the verifier says\n{said}")
    violated = _VIOLATED.search(said)
    broken = violated.group(1) if violated else None
    if broken is None and _CYCLE.search(said):
        broken = "every_run_ends"
    if (broken is None) != (ends.group(2) == "0") or (broken is None and _NOT_COMPLETED in said):
        raise SpinError(f"{case.name}: the verifier says\n{said}")
    return Search(
        states=int(states.group(1)),
        depth=int(ends.group(1)),
        seconds=float(seconds.group(1)) if seconds else 0.0,
        megabytes=float(memory.group(1)),
        broken=broken,
        story=_story(model, defines) if broken else (),
    )


def _story(model: Path, defines: list[str]) -> tuple[str, ...]:
    said = _run(["spin", *defines, "-t", "-T", "-B", model.name], model.parent)
    lines = [line.strip() for line in said.splitlines()]
    # It goes on after what is broken.
    broken = next((n for n, line in enumerate(lines) if "Error: assertion" in line), len(lines))
    return tuple(line for line in lines[:broken] if line and not line.startswith("spin:"))


def _run(words: list[str], folder: Path) -> str:
    done = subprocess.run(
        words,
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=SEARCH_SECONDS,
        check=False,
    )
    if done.returncode != 0:
        raise SpinError(f"{' '.join(words)}: {done.stdout}{done.stderr}")
    return done.stdout
