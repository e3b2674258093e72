"""How much an audit has looked at."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass


@dataclass(slots=True)
class Checked:
    """
    How much was held to the rules so far; an audit counts it up.

    Attributes:
        grants: Leases that the remembered claim requests say they got.
        facts: What clients were told; `pruned` of these are about runs that are gone,
            and so old that they may be.
    """

    runs: int = 0
    events: int = 0
    leases: int = 0
    grants: int = 0
    client_entries: int = 0
    facts: int = 0
    pruned: int = 0


OnPage = Callable[[Checked], object]


def unheard(_checked: Checked) -> None:
    """For an audit whose progress nobody watches."""
