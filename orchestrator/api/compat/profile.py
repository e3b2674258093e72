"""The user that a run's steps are executed as, and the record that it is about.

All of it is made up from the settings; a run's input may say otherwise.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from orchestrator.api.context import services
from orchestrator.desk.compat_claims import members_of
from orchestrator.store.records import Json

_GREATEST_EXACT: Final = 2**53 - 1


@dataclass(frozen=True, slots=True)
class Subject:
    """
    What a run is about, as its input says it: `userId`, `recordId`, `collectionName`,
    `collectionId`.

    Attributes:
        shares_collection: Whether its input names the collection, as those of other workflows
            may, too.
    """

    user_id: int
    record_id: str
    collection_name: str
    collection_id: str
    shares_collection: bool


def subject_of(run_id: object, workflow: str, version: int | None, run_input: Json) -> Subject:
    """What a run is about; its own id and its workflow's name unless its input says otherwise."""
    said = members_of(run_input)
    named = _name(said, "collectionName")
    # They keep a collection's schema for ten minutes: each version has a name of its own.
    collection = named or (workflow if version is None else f"{workflow}.v{version}")
    return Subject(
        user_id=_user_id(said),
        record_id=_name(said, "recordId") or str(run_id),
        collection_name=collection,
        collection_id=_name(said, "collectionId") or collection,
        shares_collection=named is not None,
    )


def _user_id(said: Mapping[str, Any]) -> int:
    value = said.get("userId")
    if type(value) is int and 0 <= value <= _GREATEST_EXACT:
        return value
    return services().settings.compat_user_id


def _name(said: Mapping[str, Any], member: str) -> str | None:
    """A text of one character or more; a whole number is one too."""
    value = said.get(member)
    if type(value) is int:
        return str(value)
    return value if isinstance(value, str) and value else None
