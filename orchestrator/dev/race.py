"""The race: many executors, polled and triggered at once, and who executed what in the end.

What counts is what the handlers wrote to files of their own. Dibs' tables are
not asked.
"""

import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from orchestrator.dev.seed import create_runs
from orchestrator.dev.triggers import REFUSALS, Triggers

WORKFLOW = "race"
# Every fifth run is triggered from several sides, while all executors poll.
TRIGGER_EVERY = 5
WAVE = 100
# After the last run was seen, a second execution gets this long to show up.
AFTERMATH_SECONDS = 1.0
LOOK_SECONDS = 0.1


@dataclass(frozen=True)
class Result:
    """What the race showed."""

    wanted: int
    created: int
    executed_once: int
    executed_twice: int
    strangers: int
    refused: int
    failed_triggers: int
    seconds: float

    @property
    def is_right(self) -> bool:
        """Every run executed once, none twice, and no answer that has no business here."""
        return (
            self.wanted == self.created == self.executed_once
            and not self.executed_twice
            and not self.strangers
            and not self.failed_triggers
        )


@dataclass(frozen=True)
class Track:
    """Where the race is run."""

    url: str
    client_token: str
    queue: str
    executor_urls: Sequence[str]
    files: Sequence[Path]


def race(
    track: Track, runs: int, *, timeout_seconds: float, on_progress: Callable[[int], None]
) -> Result:
    """
    Create runs in waves, trigger some of them from several sides, and count executions.

    Args:
        timeout_seconds: How long may pass without any run being executed.
        on_progress: Told how many runs were executed so far.
    """
    began = time.monotonic()
    ids: list[str] = []
    with Triggers(track.executor_urls, track.client_token) as triggers:
        for start in range(0, runs, WAVE):
            wave = [_run(track.queue)] * min(WAVE, runs - start)
            fresh = create_runs(track.url, track.client_token, wave)
            ids += fresh
            for run_id in fresh[::TRIGGER_EVERY]:
                triggers.pull(run_id)
            on_progress(len(_executions(track.files)))
        seconds = _wait_for_all(track.files, set(ids), timeout_seconds, on_progress, began)
        answers = triggers.answers(timeout_seconds)
    executions = _executions(track.files)
    refused = sum(answers[status] for status in REFUSALS)
    return Result(
        wanted=runs,
        created=len(set(ids)),
        executed_once=sum(executions[run_id] == 1 for run_id in set(ids)),
        executed_twice=sum(times > 1 for times in executions.values()),
        strangers=len(executions.keys() - set(ids)),
        refused=refused,
        failed_triggers=answers.total() - refused - answers[200],
        seconds=seconds,
    )


def _run(queue: str) -> dict[str, object]:
    return {"workflow": WORKFLOW, "queue": queue}


def _wait_for_all(
    files: Sequence[Path],
    wanted: set[str],
    timeout_seconds: float,
    on_progress: Callable[[int], None],
    began: float,
) -> float:
    """Wait until all are executed, or nothing happens any more; how long it took to the last."""
    seen, last_change = 0, time.monotonic()
    while True:
        done = len(_executions(files).keys() & wanted)
        if done != seen:
            seen, last_change = done, time.monotonic()
        on_progress(seen)
        idle_seconds = time.monotonic() - last_change
        if idle_seconds > (AFTERMATH_SECONDS if seen == len(wanted) else timeout_seconds):
            return last_change - began
        time.sleep(LOOK_SECONDS)


def _executions(files: Sequence[Path]) -> Counter[str]:
    """How often each run was executed, as the handlers wrote it down."""
    return Counter(
        line.split()[0]
        for file in files
        if file.exists()
        for line in file.read_text(encoding="ascii").splitlines()
    )
