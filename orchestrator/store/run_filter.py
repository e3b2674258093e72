"""A filter of runs: what lists, searches and bulk acts narrow the runs by."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import ColumnCollection, ColumnElement, and_, literal, or_

FILTERED = (
    "id",
    "run_state",
    "queue",
    "workflow",
    "locked_by",
    "dedup_key",
    "waiting_for",
    "created_at",
)
"""The columns that a filter looks at."""


@dataclass(frozen=True, slots=True)
class RunFilter:
    """
    Which runs are asked for; every part narrows it.

    Attributes:
        words: Each is the run's workflow, its queue, its holder or its dedupKey.
        waiting_reason: What it waits for, of those that wait.
        ids: These alone, if there are any.
    """

    states: tuple[str, ...] = ()
    queue: str | None = None
    workflow: str | None = None
    executor: str | None = None
    created_after: datetime | None = None
    dedup_key: str | None = None
    waiting_reason: str | None = None
    words: tuple[str, ...] = ()
    ids: tuple[UUID, ...] = ()


def matching(
    columns: ColumnCollection[str, Any], queue_patterns: Sequence[str], wanted: RunFilter
) -> ColumnElement[bool]:
    """Whether a run is of these queues, and what is asked for."""
    conditions: list[ColumnElement[bool]] = []
    if "*" not in queue_patterns:
        conditions.append(or_(*(_covered(columns.queue, pattern) for pattern in queue_patterns)))
    if wanted.states:
        conditions.append(columns.run_state.in_(wanted.states))
    if wanted.queue is not None:
        conditions.append(columns.queue == wanted.queue)
    if wanted.workflow is not None:
        conditions.append(columns.workflow == wanted.workflow)
    if wanted.executor is not None:
        conditions.append(columns.locked_by == wanted.executor)
    if wanted.created_after is not None:
        conditions.append(columns.created_at > wanted.created_after)
    if wanted.dedup_key is not None:
        conditions.append(columns.dedup_key == wanted.dedup_key)
    if wanted.waiting_reason is not None:
        conditions.append(columns.waiting_for["reason"].astext == wanted.waiting_reason)
    if wanted.ids:
        conditions.append(columns.id.in_(wanted.ids))
    named = (columns.workflow, columns.queue, columns.locked_by, columns.dedup_key)
    conditions += [or_(*(column == word for column in named)) for word in wanted.words]
    return and_(literal(value=True), *conditions)


def _covered(queue: ColumnElement[str], pattern: str) -> ColumnElement[bool]:
    if pattern.endswith(".*"):
        return queue.startswith(pattern[:-1], autoescape=True)
    return queue == pattern
