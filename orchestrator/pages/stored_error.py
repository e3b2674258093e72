"""An error of a run or a step, as people read one: a message has lines."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

import orjson


@dataclass(frozen=True, slots=True)
class StoredError:
    """
    What is stored as an error.

    Attributes:
        code: None when it could not be taken apart.
        text: Its message, or all of it.
    """

    code: str | None
    text: str

    @classmethod
    def of(cls, excerpt: str) -> Self:
        """What an excerpt says; one that was cut is shown as it stands."""
        try:
            said = orjson.loads(excerpt)
        except orjson.JSONDecodeError:
            return cls(None, excerpt)
        match said:
            case {"code": str(code), "message": str(message)}:
                return cls(code, message)
        return cls(None, excerpt)
