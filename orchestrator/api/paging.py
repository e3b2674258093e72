"""Pages of a list, newest first: what each ends with, and what leads to the next."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Protocol, TypeVar
from uuid import UUID

from flask import Response
from sqlalchemy import Connection

from orchestrator.api.access import caller
from orchestrator.api.answer import answer
from orchestrator.api.context import services
from orchestrator.api.cursor import make_cursor, read_cursor
from orchestrator.store.transaction import transact


class PageQuery(Protocol):
    """What is asked of a list."""

    limit: int
    cursor: str | None

    def filters(self) -> dict[str, Any]: ...


class Listed(Protocol):
    """What stands in a list, in the order of its ids."""

    @property
    def id(self) -> UUID: ...


Item = TypeVar("Item", bound=Listed)


def page_answer(
    asked: PageQuery,
    look: Callable[[Connection, UUID | None, int], Sequence[Item]],
    body: Callable[[Item], dict[str, Any]],
) -> Response:
    """
    The page that is asked for.

    Args:
        look: Finds what comes before an id, or the newest, at most so many.

    Raises:
        InvalidCursor: It was not made for this caller and these filters.
    """
    shared, who = services(), caller()
    key, filters = shared.settings.secret_key.get_secret_value().encode(), asked.filters()
    before = None
    if asked.cursor is not None:
        before = read_cursor(key, asked.cursor, token_name=who.name, filters=filters)
    # One more than asked tells whether there is another page.
    found = transact(
        shared.database.work, lambda connection: look(connection, before, asked.limit + 1)
    )
    page, has_more = found[: asked.limit], len(found) > asked.limit
    cursor = None
    if has_more:
        cursor = make_cursor(key, page[-1].id, token_name=who.name, filters=filters)
    return answer({"items": [body(item) for item in page], "nextCursor": cursor})
