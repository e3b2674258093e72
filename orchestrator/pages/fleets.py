"""Executors as people know them: by name, however often each was started."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from orchestrator.desk.executors import Service, is_within, seen_by
from orchestrator.store.executors import Executor

# A heartbeat older than this is late, or too late: nobody counts on that executor any more.
LATE_SECONDS: Final = 30
TOO_LATE_SECONDS: Final = 90


@dataclass(frozen=True, slots=True)
class Fleet:
    """
    The sessions of one name.

    Attributes:
        sessions: The newest, and those before it that are still there; of what they serve
            only what whoever looks may see.
        is_gone: Not one of them was seen lately, and none holds anything.
        is_ours: They serve nobody else's queues, so that whoever looks may act on them.
    """

    name: str
    sessions: tuple[Executor, ...]
    is_gone: bool
    is_ours: bool

    @property
    def service(self) -> Service:
        """Whether it is handed runs: an operator's word is for all sessions of a name."""
        return Service(self.sessions[0].state)


def fleets_of(sessions: Sequence[Executor], queues: tuple[str, ...], now: datetime) -> list[Fleet]:
    """Those that somebody sees whose token is for these queues: by name, who is gone last."""
    ours: dict[str, bool] = defaultdict(lambda: True)
    for each in sessions:
        ours[each.full_name] &= is_within(each, queues)
    named: dict[str, list[Executor]] = defaultdict(list)
    newest_first = sorted(sessions, key=lambda each: each.registered_at, reverse=True)
    for each in seen_by(newest_first, queues):
        named[each.full_name].append(each)
    long_ago = now - timedelta(seconds=TOO_LATE_SECONDS)

    def is_there(session: Executor) -> bool:
        return session.seen_at >= long_ago or session.in_flight > 0

    fleets = [
        Fleet(
            name,
            (newest, *filter(is_there, earlier)),
            is_gone=not any(map(is_there, (newest, *earlier))),
            is_ours=ours[name],
        )
        for name, (newest, *earlier) in named.items()
    ]
    return sorted(fleets, key=lambda fleet: (fleet.is_gone, fleet.name))
