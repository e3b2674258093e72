"""Runs that an executor of the adapter has polled, and what has become of them."""

from typing import Any

from tests.acceptance.client import Json
from tests.contract.adapter import Adapter, Forest, run_id_of

# A first lease, and what is left for the report of a step that was begun; seconds.
FIRST, REPORT = 20, 45
# The parameters of a step that gives no sign for as long as a model thinks.
BY_A_MODEL = {"type": "task", "taskType": "get-data", "executionType": "fully-automated"}


def polled(adapter: Adapter, queue: str, **step: Any) -> tuple[Forest, Json]:
    """A run of two steps, the first of which is this one, and the executor that holds it."""
    executor = adapter.executor(queue)
    first = {"name": "one", "type": "one", **step}
    adapter.define(f"w-{queue}", first, {"name": "two", "type": "two"})
    adapter.web.create(queue, f"w-{queue}")
    [run] = executor.poll()
    return executor, run


def lasts(adapter: Adapter, run: Json, seconds: float) -> bool:
    """Whether the lease was given this length of those that there are, on a slow machine too."""
    return seconds / 3 < adapter.lease_seconds_left(run) <= seconds


def state(adapter: Adapter, run: Json) -> str:
    """The state of a run, by its own interface."""
    return str(adapter.web.run(run_id_of(run))["runState"])
