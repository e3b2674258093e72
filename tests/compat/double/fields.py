"""Reading what an orchestrator answered, as strictly as that executor does."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

MAX_SAFE_INTEGER = 2**53 - 1


class Malformed(Exception):
    """An answer that the executor stumbles over; says where and why."""


@dataclass(frozen=True)
class Fields:
    """An object of the wire, and where it stands."""

    at: str
    members: Mapping[str, Any]

    @classmethod
    def of(cls, value: object, at: str) -> Fields:
        if not isinstance(value, dict):
            raise Malformed(f"{at}: {value!r} is no object")
        return cls(at, value)

    def object(self, name: str) -> Fields:
        return Fields.of(self.members.get(name), f"{self.at}.{name}")

    def array(self, name: str) -> list[Any]:
        value = self.members.get(name)
        if not isinstance(value, list):
            raise self._wrong(name, "no array")
        return value

    def objects(self, name: str) -> list[Fields]:
        return [
            Fields.of(each, f"{self.at}.{name}[{place}]")
            for place, each in enumerate(self.array(name))
        ]

    def text(self, name: str) -> str:
        """A string that is not empty."""
        value = self.members.get(name)
        if not isinstance(value, str) or not value:
            raise self._wrong(name, "no string, or empty")
        return value

    def any_text(self, name: str) -> str:
        value = self.members.get(name)
        if not isinstance(value, str):
            raise self._wrong(name, "no string")
        return value

    def integer(self, name: str, *, least: int | None = None) -> int:
        """A number that JavaScript can tell from its neighbours."""
        value = self.members.get(name)
        is_number = isinstance(value, int | float) and not isinstance(value, bool)
        if not is_number or not math.isfinite(value) or value != int(value):
            raise self._wrong(name, "no integer")
        if abs(value) > MAX_SAFE_INTEGER or (least is not None and value < least):
            raise self._wrong(name, "out of range")
        return int(value)

    def flag(self, name: str) -> bool:
        value = self.members.get(name)
        if not isinstance(value, bool):
            raise self._wrong(name, "no boolean")
        return value

    def one_of(self, name: str, *allowed: object) -> Any:
        value = self.members.get(name)
        if value not in allowed:
            raise self._wrong(name, f"none of {allowed}")
        return value

    def has(self, name: str) -> bool:
        return name in self.members

    def get(self, name: str) -> Any:
        return self.members.get(name)

    def _wrong(self, name: str, why: str) -> Malformed:
        return Malformed(f"{self.at}.{name}: {self.members.get(name)!r} is {why}")
