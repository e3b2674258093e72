"""What a waiting run asks for, as fields of a form.

A flat object of texts, numbers, yes and no, and choices has a field for each member; any
other schema, and none, is answered with JSON. A field's name says how what is typed into
it is read (`typed_input`), so that a form means the same whatever the run waits for by then.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

import orjson

from orchestrator.api.payload import json_text
from orchestrator.pages.typed_input import CHOICE, WHOLE
from orchestrator.store.records import Json, text_of

MOST_FIELDS: Final = 20

_OF_AN_OBJECT: Final = frozenset(
    {"$schema", "type", "title", "description", "properties", "required", "additionalProperties"}
)
_OF_A_MEMBER: Final = frozenset(
    {
        "type", "title", "description", "default", "examples", "format", "enum",
        "minLength", "maxLength", "pattern",
        "minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "multipleOf",
    }
)  # fmt: skip
_KINDS: Final = frozenset({"string", "number", "integer", "boolean"})
_YES_OR_NO: Final = (("true", "yes"), ("false", "no"))


@dataclass(frozen=True, slots=True)
class WantedField:
    """
    One member of the input.

    Attributes:
        kind: string, number or integer; `CHOICE` when there are options.
        options: For each the JSON of the value, and how it is shown.
        default: What stands in the field before anything is typed.
    """

    member: str
    title: str
    description: str | None
    kind: str
    required: bool
    default: str
    options: tuple[tuple[str, str], ...] = ()
    between: str | None = None

    @property
    def name(self) -> str:
        """How the form calls it."""
        return f"{self.kind}/{self.member}"

    @property
    def place(self) -> str:
        """How a refused input calls it."""
        return f"{WHOLE}/{self.member}"


@dataclass(frozen=True, slots=True)
class WantedInput:
    """
    What is asked for.

    Attributes:
        title, description: The schema's own words.
        fields: None: it takes JSON.
        default: What stands in the field for JSON before anything is typed.
    """

    title: str | None
    description: str | None
    fields: tuple[WantedField, ...] | None
    default: str = ""

    @classmethod
    def of(cls, waiting_for: Json) -> WantedInput:
        """What a run's `waitingFor` asks for."""
        schema = orjson.loads(text_of(waiting_for)).get("schema")
        if not isinstance(schema, dict):
            return cls(None, None, None)
        fields = _fields(schema)
        return cls(
            _text(schema.get("title")),
            _text(schema.get("description")),
            fields,
            "{}" if fields is None and schema.get("type") == "object" else "",
        )


def _fields(schema: Mapping[str, Any]) -> tuple[WantedField, ...] | None:
    """A field for each member; None when the schema is more than that."""
    members = schema.get("properties")
    if (
        schema.get("type") != "object"
        or not _OF_AN_OBJECT.issuperset(schema)
        or not isinstance(members, dict)
        or not 0 < len(members) <= MOST_FIELDS
        or not all(map(str.isprintable, members))
        or not all(map(_is_simple, members.values()))
    ):
        return None
    needed = schema.get("required", [])
    if not isinstance(needed, list) or any(member not in members for member in needed):
        return None
    # The database keeps no order of members; what is needed stands in the schema's own.
    in_order = dict.fromkeys([*needed, *members])
    return tuple(_field(member, members[member], member in needed) for member in in_order)


def _is_simple(said: Any) -> bool:
    if not isinstance(said, dict) or not _OF_A_MEMBER.issuperset(said):
        return False
    if "enum" in said:
        options = said["enum"]
        return isinstance(options, list) and bool(options) and all(map(_is_option, options))
    return isinstance(said.get("type"), str) and said["type"] in _KINDS


def _is_option(value: Any) -> bool:
    # A page spells out what cannot be seen: as a form's value it would be another one.
    return isinstance(value, str | int | float) and _as_typed(value).isprintable()


def _field(member: str, said: Mapping[str, Any], required: bool) -> WantedField:
    options: tuple[tuple[str, str], ...] = ()
    if "enum" in said:
        options = tuple((json_text(one), _as_typed(one)) for one in said["enum"])
    elif said["type"] == "boolean":
        options = _YES_OR_NO
    return WantedField(
        member=member,
        title=_text(said.get("title")) or member,
        description=_text(said.get("description")),
        kind=CHOICE if options else said["type"],
        required=required,
        default=_default(said.get("default"), has_options=bool(options)),
        options=options,
        between=_between(said),
    )


def _default(value: Any, *, has_options: bool) -> str:
    """What stands in a field: nothing that could not be seen there, and be sent all the same."""
    if value is None:
        return ""
    text = json_text(value) if has_options else _as_typed(value)
    return text if text.isprintable() else ""


def _between(said: Mapping[str, Any]) -> str | None:
    """What else the schema asks of a value, in words."""
    words = [
        f"{word} {said[name]}{unit}"
        for name, word, unit in (
            ("minimum", "at least", ""),
            ("exclusiveMinimum", "more than", ""),
            ("maximum", "at most", ""),
            ("exclusiveMaximum", "less than", ""),
            ("multipleOf", "a multiple of", ""),
            ("minLength", "at least", " characters"),
            ("maxLength", "at most", " characters"),
            ("pattern", "matching", ""),
            ("format", "format", ""),
        )
        if name in said
    ]
    return ", ".join(words) or None


def _as_typed(value: Any) -> str:
    return value if isinstance(value, str) else json_text(value)


def _text(value: Any) -> str | None:
    return value if isinstance(value, str) and value else None
