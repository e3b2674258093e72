"""The order in which a workflow's steps are drawn: in columns, from left to right.

Pure. What leads back to an earlier step leads against the columns; what leads further than to
the next one holds a place in each between, so that its line crosses no step.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Final

Following = Mapping[str, Sequence[str]]

MOST_SPANNED: Final = 1_000
MOST_BACK: Final = 50

_SWEEPS: Final = 4


@dataclass(frozen=True, slots=True)
class Place:
    """What stands in a column: a step, or the line from one to another that passes by."""

    name: str
    passing_from: str | None = None
    column: int = 0


@dataclass(frozen=True, slots=True)
class Order:
    """
    Where each step stands.

    Attributes:
        columns: From left to right, each from top to bottom.
        lines: For each line forward, the places that it joins, from step to step.
        back: The lines that lead back, as pairs of steps.
    """

    columns: list[list[Place]] = field(default_factory=list)
    lines: list[list[Place]] = field(default_factory=list)
    back: list[tuple[str, str]] = field(default_factory=list)


def ordered(first: str, following: Following) -> Order | None:
    """
    Put the steps that can be reached from the first into columns.

    None when its lines pass by so much that nobody could follow them.
    """
    back = _leading_back(first, following)
    columns_of = _columns(first, following, back)
    spans = [
        columns_of[other] - columns_of[name]
        for name in columns_of
        for other in following[name]
        if (name, other) not in back
    ]
    if sum(spans) > MOST_SPANNED or len(back) > MOST_BACK:
        return None
    order = Order([[] for _ in range(max(columns_of.values()) + 1)], back=sorted(back))
    for name, column in columns_of.items():
        order.columns[column].append(Place(name, column=column))
    for name, column in columns_of.items():
        for other in following[name]:
            if (name, other) not in back:
                between = range(column + 1, columns_of[other])
                passed = [Place(other, passing_from=name, column=at) for at in between]
                for place in passed:
                    order.columns[place.column].append(place)
                ends = Place(name, column=column), Place(other, column=columns_of[other])
                order.lines.append([ends[0], *passed, ends[1]])
    _uncross(order)
    return order


def _leading_back(first: str, following: Following) -> set[tuple[str, str]]:
    """The lines that close a cycle, found by walking on from each step as far as one can."""
    back: set[tuple[str, str]] = set()
    above, seen = {first}, {first}
    path: list[tuple[str, Iterator[str]]] = [(first, iter(following[first]))]
    while path:
        name, ahead = path[-1]
        other = next(ahead, None)
        if other is None:
            path.pop()
            above.discard(name)
        elif other in above:
            back.add((name, other))
        elif other not in seen:
            seen.add(other)
            above.add(other)
            path.append((other, iter(following[other])))
    return back


def _columns(first: str, following: Following, back: set[tuple[str, str]]) -> dict[str, int]:
    """The column of each step: one more than that of the last step that leads to it."""
    leading_to: dict[str, int] = defaultdict(int)
    for name, others in following.items():
        for other in others:
            leading_to[other] += (name, other) not in back
    columns, ready = {first: 0}, [first]
    for name in ready:
        for other in following[name]:
            if (name, other) not in back:
                columns[other] = max(columns.get(other, 0), columns[name] + 1)
                leading_to[other] -= 1
                if not leading_to[other]:
                    ready.append(other)
    return columns


def _uncross(order: Order) -> None:
    """Sort each column by the middle of what its places are joined to, there and back."""
    before: dict[Place, list[Place]] = defaultdict(list)
    after: dict[Place, list[Place]] = defaultdict(list)
    for line in order.lines:
        for one, other in pairwise(line):
            before[other].append(one)
            after[one].append(other)
    height = {place: at for column in order.columns for at, place in enumerate(column)}
    for sweep in range(_SWEEPS):
        joined = after if sweep % 2 else before
        for column in reversed(order.columns) if sweep % 2 else order.columns:
            column.sort(key=lambda place: _middle(joined[place], height, height[place]))
            height |= {place: at for at, place in enumerate(column)}


def _middle(places: Sequence[Place], height: Mapping[Place, int], otherwise: int) -> float:
    return sum(height[place] for place in places) / len(places) if places else otherwise
