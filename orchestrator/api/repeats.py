"""How a route's requests can be repeated: declared on its view, told in the OpenAPI document."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final, TypeVar

View = TypeVar("View", bound=Callable[..., Any])

BY_REQUEST_ID: Final = "requestId"
BY_KEY: Final = "idempotency-key"
NATURALLY: Final = "natural"

_REPETITION = "_repetition"


@dataclass(frozen=True, slots=True)
class Repetition:
    """
    What a second copy of a request does.

    Attributes:
        way: By the `requestId` of its body, by its `Idempotency-Key`, or by the
            nature of what it asks for.
        sentence: What a repeat gets, for whoever reads the documentation.
    """

    way: str
    sentence: str


def repeats(way: str, sentence: str) -> Callable[[View], View]:
    """Declare how a view's requests can be repeated."""

    def declare(view: View) -> View:
        setattr(view, _REPETITION, Repetition(way, sentence))
        return view

    return declare


def repetition_of(view: Callable[..., Any]) -> Repetition | None:
    """How a view's requests can be repeated, or None when nobody said."""
    repetition: Repetition | None = getattr(view, _REPETITION, None)
    return repetition
