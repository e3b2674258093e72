"""
Claims and reports all the time, in a process of its own.

`python -m tests.bench.flat.load` reads an `Order` as one line of JSON from its
standard input, works until that is closed, and writes a `Done` as JSON. Times
are by the clock that all processes of a machine share.
"""

import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field

import orjson

from tests.bench.failure import BenchError
from tests.bench.flat.side import Side, side

END_SECONDS = 30.0


@dataclass(frozen=True)
class Order:
    """
    What to do.

    Attributes:
        threads: How many claim at once.
        limit: Runs in each claim, and in the report after it.
        per_second: Claims of all threads in a second; None is as many as there can be.
        keeper: Whether the process has a keeper, as an orchestrator's has.
    """

    service_url: str
    threads: int
    limit: int
    per_second: float | None
    keeper: bool = False


@dataclass
class Done:
    """
    What was done.

    Attributes:
        claims: When each claim was answered, and how many seconds it took.
    """

    claims: list[tuple[float, float]] = field(default_factory=list)

    def per_second(self, from_: float, to: float) -> float:
        """Claims answered in this time, by `time.monotonic`."""
        return sum(from_ <= at < to for at, _ in self.claims) / (to - from_)


@contextmanager
def under_load(order: Order) -> Iterator[Done]:
    """
    Have it done meanwhile; what was done is known at the end.

    Raises:
        BenchError: It failed.
    """
    done = Done()
    process = subprocess.Popen(
        [sys.executable, "-m", "tests.bench.flat.load"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        # Ctrl-C is for the bench, which then ends what it has started.
        start_new_session=True,
    )
    with process:
        assert process.stdin
        assert process.stdout
        try:
            process.stdin.write(orjson.dumps(order) + b"\n")
            process.stdin.flush()
            # The first claim has been answered: what a process does once is behind it.
            if process.stdout.readline() != b"begun\n":
                raise BenchError("the load could not begin")
            yield done
            written, _ = process.communicate(timeout=END_SECONDS)
        finally:
            process.kill()
    if process.returncode:
        raise BenchError("the load failed")
    done.claims += [(at, took) for at, took in orjson.loads(written)["claims"]]


def _work(on: Side, order: Order, ending: threading.Event, done: Done) -> None:
    pause = order.threads / order.per_second if order.per_second else 0.0
    while not ending.is_set():
        began = time.monotonic()
        dispatches = on.claim(order.limit)
        answered = time.monotonic()
        done.claims.append((answered, answered - began))
        on.report(dispatches)
        left = began + pause - time.monotonic()
        if left > 0:
            ending.wait(left)


def _main() -> None:
    order = Order(**orjson.loads(sys.stdin.readline()))
    ending, done = threading.Event(), Done()
    failures: list[BaseException] = []
    with side(order.service_url, "") as on, on.keeping() if order.keeper else nullcontext():
        on.report(on.claim())
        sys.stdout.write("begun\n")
        sys.stdout.flush()

        def work() -> None:
            try:
                _work(on, order, ending, done)
            except BaseException as error:
                failures.append(error)
                raise

        threads = [threading.Thread(target=work) for _ in range(order.threads)]
        for thread in threads:
            thread.start()
        sys.stdin.read()
        ending.set()
        for thread in threads:
            thread.join()
    if failures:
        sys.exit(1)
    sys.stdout.buffer.write(orjson.dumps(done))


if __name__ == "__main__":
    _main()
