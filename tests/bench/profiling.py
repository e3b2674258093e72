"""Where the time goes in a drain: py-spy beside every process of ours that works on it.

py-spy is none of the product's tools: it is taken from the PATH. Counted are the
samples in which a thread holds the interpreter's lock: whoever waits is left out,
and so are the kernel's own work for a socket and the database.
"""

import shutil
import signal
import subprocess
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.bench.drain import drain
from tests.bench.failure import BenchError
from tests.bench.page import Table
from tests.bench.processor_time import workers_of
from tests.bench.sizes import Sizes
from tests.bench.stage import EXECUTORS, ORCHESTRATOR, stage

SAMPLES_PER_SECOND = 200
# So many times what a sample of the figure drains.
LONGER = 3
END_SECONDS = 60.0
SHOWN = 15


@dataclass(frozen=True)
class Profile:
    """How many of a program's samples were taken in each function: in itself, and below it."""

    program: str
    samples: int
    own: Counter[str]
    inclusive: Counter[str]

    def table(self) -> Table:
        rows = [
            (
                function,
                f"{count / self.samples:.1%}",
                f"{self.inclusive[function] / self.samples:.1%}",
            )
            for function, count in self.own.most_common(SHOWN)
        ]
        return Table((f"{self.program}, {self.samples:,} samples", "itself", "and below"), rows)


def profile_drain(
    sizes: Sizes, *, workers: int, folder: Path, say: Callable[[str], None]
) -> list[Profile]:
    """
    Drain once, a few times as long as for the figure, with every process watched.

    Args:
        folder: Where the stacks go, in the form that flame graphs are made from.

    Raises:
        BenchError: There is no py-spy, or it cannot watch.
    """
    spy = shutil.which("py-spy")
    if spy is None:
        raise BenchError(
            "py-spy is not on the PATH: pip install py-spy in an environment of its own."
        )
    folder.mkdir(parents=True, exist_ok=True)
    written: dict[str, list[Path]] = {}

    @contextmanager
    def watching(programs: Mapping[str, Sequence[int]]) -> Iterator[None]:
        processes = [
            *((ORCHESTRATOR, child) for pid in programs[ORCHESTRATOR] for child in workers_of(pid)),
            *((EXECUTORS, pid) for pid in programs[EXECUTORS]),
        ]
        with ExitStack() as spies:
            for program, pid in processes:
                path = folder / f"{program}-{pid}.txt"
                spies.enter_context(_watched(spy, pid, path))
                written.setdefault(program, []).append(path)
            yield

    with stage(workers, say) as on:
        say("draining once unwatched, then watched")
        drain(on, sizes.drained_runs)
        rate, _ = drain(on, sizes.drained_runs * LONGER, watching)
        say(f"  {rate:,.0f} runs/s while watched; the stacks are in {folder}")
    return [_read(program, paths) for program, paths in written.items()]


@contextmanager
def _watched(spy: str, pid: int, path: Path) -> Iterator[None]:
    watcher = subprocess.Popen(
        [
            *(
                spy,
                "record",
                "--format",
                "raw",
                "--function",
                "--gil",
                "--rate",
                str(SAMPLES_PER_SECOND),
            ),
            *("--pid", str(pid), "--output", str(path)),
        ],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )
    try:
        # It says so once it has read the process and begins.
        begun = watcher.stdout.readline() if watcher.stdout else ""
        if "Sampling process" not in begun:
            raise BenchError(f"py-spy cannot watch process {pid}: {begun.strip()}")
        yield
        watcher.send_signal(signal.SIGINT)
        watcher.communicate(timeout=END_SECONDS)
    finally:
        if watcher.poll() is None:
            watcher.kill()
            watcher.communicate()
    if not path.exists():
        raise BenchError(f"py-spy wrote nothing about process {pid}")


def _read(program: str, paths: Sequence[Path]) -> Profile:
    own, inclusive = Counter[str](), Counter[str]()
    for path in paths:
        for line in path.read_text(encoding="utf-8").splitlines():
            stack, _, count = line.rpartition(" ")
            functions = stack.split(";")
            own[functions[-1]] += int(count)
            for function in set(functions):
                inclusive[function] += int(count)
    return Profile(program, own.total(), own, inclusive)
