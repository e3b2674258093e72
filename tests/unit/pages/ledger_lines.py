"""A run's ledger, written by hand: each line so many seconds after the one before."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import orjson

from orchestrator.store.events import Event

BEGINNING = datetime(2026, 11, 22, 13, 26, 58, tzinfo=UTC)


class Ledger:
    """Written line by line; `newest_first` is what a page reads."""

    def __init__(self) -> None:
        self._lines: list[Event] = []
        self._at = BEGINNING

    def line(
        self,
        after_seconds: float,
        kind: str,
        to_state: str,
        *,
        executor: str | None = None,
        fence: int | None = None,
        actor: str | None = "web",
        **detail: Any,
    ) -> Ledger:
        """One more event."""
        self._at += timedelta(seconds=after_seconds)
        before = self._lines[-1] if self._lines else None
        self._lines.append(
            Event(
                seq=len(self._lines) + 1,
                kind=kind,
                at=self._at,
                from_state=before.to_state if before else None,
                to_state=to_state,
                fence=fence,
                executor=executor,
                actor=actor,
                request_id=None,
                detail=orjson.Fragment(orjson.dumps(detail)),
            )
        )
        return self

    @property
    def newest_first(self) -> list[Event]:
        return self._lines[::-1]


def eventful() -> Ledger:
    """One lease that failed, one that expired, and one that chains two steps and is held."""
    first = {"executor": "a:1", "fence": 7}
    third = {"executor": "b", "fence": 9}
    return (
        Ledger()
        .line(0, "created", "pending")
        .line(2, "claimed", "loading", **first)
        .line(0.5, "started", "started", **first)
        .line(1, "reported", "scheduled", **first, stepIndex=0, outcome="error", message="no")
        .line(4, "due", "pending", actor=None)
        .line(1, "claimed", "loading", executor="a:2", fence=8)
        .line(30, "expired", "pending", executor="a:2", fence=8, stepIndex=0)
        .line(3_600, "claimed", "loading", **third)
        .line(1, "reported", "started", **third, stepIndex=0, outcome="success", next="pay")
        .line(0.25, "step-started", "started", **third, stepIndex=1)
    )
