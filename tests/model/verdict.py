"""Whether a search found what its case expects."""

from __future__ import annotations

from tests.model.cases import Case, Kind
from tests.model.spin import Search


def verdict(case: Case, found: Search) -> tuple[bool, str]:
    """Whether it is as it should be, and a few words for the table."""
    match case.kind:
        case Kind.HOLDS | Kind.ENDS:
            return found.broken is None, found.broken or "holds"
        case Kind.MUTANT if found.broken is None:
            return False, "not caught"
        case Kind.MUTANT:
            as_expected = found.broken == case.breaks
            return as_expected, f"breaks {found.broken}" + (
                "" if as_expected else f", not {case.breaks}"
            )
        case Kind.REACHED:
            return found.broken is not None, "reached" if found.broken else "never reached"
