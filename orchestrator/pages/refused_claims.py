"""Who was refused a run: how often in all, and the last few, in words."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Final

import orjson

from orchestrator import errors
from orchestrator.store.records import Json, text_of

_WHY: Final[Mapping[str, str]] = {
    errors.RunHeld.code: "wanted to claim it while another held it",
    errors.RunNotClaimable.code: "wanted to claim it when it was not to be had",
    errors.RunOver.code: "wanted to claim it when it was over",
    errors.LeaseLost.code: "spoke under a lease that was no longer its own",
    errors.OutcomeConflict.code: "told another outcome than before",
    errors.StepOutOfOrder.code: "spoke of another step than the present one",
}


@dataclass(frozen=True, slots=True)
class RefusedClaim:
    """
    One that was refused.

    Attributes:
        who: The executor's full name, or its token's.
        on_behalf_of: The token's name of whoever triggered it there.
    """

    at: datetime
    code: str
    who: str
    on_behalf_of: str | None

    @property
    def words(self) -> str:
        """What it wanted in vain; a code of a later version stands for itself."""
        return _WHY.get(self.code, self.code)


def refused_claims(last: Json) -> list[RefusedClaim]:
    """The last few as they are kept, newest first."""
    return [
        RefusedClaim(
            datetime.fromisoformat(one["at"]), one["code"], one["executor"], one.get("onBehalfOf")
        )
        for one in orjson.loads(text_of(last))
    ]
