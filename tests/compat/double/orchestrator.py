"""The orchestrator as that executor calls it: which routes, what it repeats, what it accepts."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Collection
from dataclasses import dataclass, field
from typing import Any

from tests.compat.double.fields import Fields, Malformed
from tests.compat.double.http1 import Answer, Way
from tests.compat.double.runs import Run
from tests.compat.double.schema import Schema, schema_of

ROUTES = "/api/workflow-orchestrator"
ACTIVITY = "/api/activity-logs-requests"
VERSION = "1.24.0"
REPEATED_STATUSES = frozenset({408, 429, 500, 502, 503, 504})
# The body goes again after each of them: 0, +0.1, +0.6 and +2.6 s.
PAUSES_SECONDS = (0.1, 0.5, 2.0)
SCHEMA_SECONDS = 600.0


class Unanswered(Exception):
    """A request that came to nothing."""


@dataclass(frozen=True)
class Activity:
    """An entry of the activity log that is open."""

    index: str
    id: str


@dataclass
class Orchestrator:
    """
    One orchestrator under one secret.

    Attributes:
        way: How it is reached.
    """

    way: Way
    secret: str
    _schemas: dict[tuple[int, str], tuple[float, Schema]] = field(default_factory=dict)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def pending_runs(self) -> list[Any]:
        """
        What is to be done; never asked twice.

        Raises:
            Unanswered: Refused, or not answered.
            Malformed: Not a list.
        """
        answer = self._ask("GET", f"{ROUTES}/pending-run")
        if not answer.is_success:
            raise Unanswered(f"pending-run: {answer.status}")
        runs = _json(answer, "pending-run")
        if not isinstance(runs, list):
            raise Malformed(f"pending-run: {runs!r} is not iterable")
        return runs

    def available_run(self, run_id: str) -> Any:
        """
        The run, or None when it is not available; never asked twice.

        Raises:
            Unanswered: Refused, or not answered.
            Malformed: No JSON.
        """
        answer = self._ask("GET", f"{ROUTES}/available-run/{run_id}")
        if not answer.is_success:
            raise Unanswered(f"available-run: {answer.status}")
        return _json(answer, "available-run")

    def update_step(self, body: dict[str, Any]) -> Any:
        """
        Report; the run at its next step, or None.

        Raises:
            Unanswered: Refused, or not answered four times.
            Malformed: No JSON.
        """
        answer = self._ask("POST", f"{ROUTES}/update-step", body, repeat=REPEATED_STATUSES)
        if not answer.is_success:
            raise Unanswered(f"update-step: {answer.status}")
        return _json(answer, "update-step")

    def schema(self, run: Run) -> Schema:
        """
        A collection's, kept for ten minutes.

        Raises:
            Unanswered: Not given.
            Malformed: Not as it must be.
        """
        key = (run.profile.rendering_id, run.collection_name)
        with self._lock:
            kept_until, schema = self._schemas.get(key, (0.0, None))
        if schema is not None and time.monotonic() < kept_until:
            return schema
        path = f"{ROUTES}/collection-schema/{run.collection_name}?runId={run.id}"
        answer = self._ask("GET", path, repeat=REPEATED_STATUSES)
        if not answer.is_success:
            raise Unanswered(f"collection-schema: {answer.status}")
        schema = schema_of(_json(answer, "collection-schema"))
        with self._lock:
            self._schemas[key] = (time.monotonic() + SCHEMA_SECONDS, schema)
        return schema

    def tell_version(self) -> None:
        """Say once that this process has started; nobody waits for the answer."""
        self._aside(
            lambda number: self._ask(
                "POST",
                f"{ROUTES}/executor-metadata",
                {"version": VERSION},
                repeat=REPEATED_STATUSES,
                number=number,
            )
        )

    def may_see(self, run_id: str, user_id: int) -> bool:
        """
        Whether somebody may look at a run.

        Raises:
            Unanswered: Not 200.
            Malformed: No object.
        """
        answer = self._ask("GET", f"{ROUTES}/run/{run_id}/access-check?userId={user_id}")
        if answer.status != 200:
            raise Unanswered(f"access-check: {answer.status}")
        told = Fields.of(_json(answer, "access-check"), "access-check")
        return told.get("hasAccess") is True

    def begin_activity(self, run: Run, attributes: dict[str, Any]) -> Activity:
        """
        Say what is about to be done with data.

        Raises:
            Unanswered: Refused: it must not be done.
            Malformed: Not as it must be.
        """
        rendering = {"id": str(run.profile.rendering_id), "type": "renderings"}
        collection = {"id": run.collection_id, "type": "collections"}
        body = {
            "data": {
                "id": 1,
                "type": "activity-logs-requests",
                "attributes": attributes,
                "relationships": {
                    "rendering": {"data": rendering},
                    "collection": {"data": collection},
                },
            }
        }
        answer = self._repeat(
            lambda number: self._log(run, "POST", ACTIVITY, body, number), REPEATED_STATUSES
        )
        if answer.status not in (200, 201):
            raise Unanswered(f"activity-logs-requests: {answer.status}")
        data = Fields.of(_json(answer, "activity log"), "activity log").object("data")
        return Activity(data.object("attributes").text("index"), data.text("id"))

    def end_activity(self, run: Run, activity: Activity, status: str) -> None:
        """Say what became of it; nobody waits for the answer."""
        path = f"{ACTIVITY}/{activity.index}/{activity.id}/status"
        self._aside(
            lambda number: self._repeat(
                lambda again: self._log(run, "PATCH", path, {"status": status}, again),
                REPEATED_STATUSES | {404},
                number,
            )
        )

    def _ask(
        self,
        method: str,
        path: str,
        body: Any = None,
        *,
        repeat: Collection[int] = (),
        number: int | None = None,
    ) -> Answer:
        headers = {"forest-secret-key": self.secret}
        return self._repeat(
            lambda again: self.way.send(method, path, headers, body, number=again), repeat, number
        )

    def _log(self, run: Run, method: str, path: str, body: Any, number: int | None) -> Answer:
        headers = {
            "Authorization": f"Bearer {run.profile.server_token}",
            "forest-application-source": "WorkflowExecutor",
        }
        return self.way.send(method, path, headers, body, number=number)

    def _repeat(
        self,
        send: Callable[[int | None], Answer],
        statuses: Collection[int],
        number: int | None = None,
    ) -> Answer:
        answer = send(number)
        for pause_seconds in PAUSES_SECONDS:
            if answer.status not in statuses:
                break
            time.sleep(pause_seconds)
            answer = send(None)
        return answer

    def _aside(self, send: Callable[[int], Answer]) -> None:
        """Send from a thread of its own; its place in the order is that of the call."""
        number = self.way.journal.number()
        threading.Thread(target=send, args=(number,), daemon=True).start()


def _json(answer: Answer, what: str) -> Any:
    """The commonest trap is an answer without a body where `null` or `[]` was meant."""
    try:
        told = answer.json()
    except ValueError:
        raise Malformed(f"{what}: {answer.status} with {answer.body!r} is no JSON") from None
    if told == {}:
        raise Malformed(f"{what}: an empty object")
    return told
