"""Direct views: they and all that they call look at `call`, never at Flask's contexts."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final, TypeVar

View = TypeVar("View", bound=Callable[..., Any])

_DIRECT: Final = "_is_direct"


def direct(view: View) -> View:
    """
    Declare that a view needs none of Flask's contexts, so that none is made for it.

    Only on a route without variables. What every run passes through is worth it: without them
    a seventh more claims are served (docs/performance.md, "Without Flask's contexts").
    """
    setattr(view, _DIRECT, True)
    return view


def is_direct(view: Callable[..., Any]) -> bool:
    """Whether a view was declared so."""
    return getattr(view, _DIRECT, False)
