"""Definitions drawn at random: valid, of up to six steps, with branches and cycles that wait."""

from __future__ import annotations

from hypothesis import strategies as st

from orchestrator.definition import faults
from tests.integration.face import Json


@st.composite
def definitions(draw: st.DrawFn) -> list[Json]:
    """Up to six steps, all reachable, some in a cycle that waits."""
    count = draw(st.sampled_from([1, 2, 3, 4, 5, 6]))
    names = [f"s{n}" for n in range(count)]
    following: list[set[int]] = [set() for _ in names]
    waits = [False] * count
    for n in range(1, count):
        following[draw(st.integers(0, n - 1))].add(n)
    for _ in range(draw(st.integers(0, 4))):
        start, end = draw(st.integers(0, count - 1)), draw(st.integers(0, count - 1))
        following[start].add(end)
        waits[start] |= end <= start
    steps = [
        {
            "name": name,
            "type": f"type-of-{name}",
            "next": [names[n] for n in sorted(following[place])],
            "uses": draw(st.lists(st.sampled_from(names), unique=True, max_size=2)),
            "mutating": draw(st.booleans()),
            "retry": {"backoffSeconds": 1000}
            | draw(st.sampled_from([{}, {"maxFailures": 1}, {"maxFailures": 2}])),
            "queue": draw(st.sampled_from([None, None, None, "elsewhere"])),
            "waits": waits[place],
        }
        for place, name in enumerate(names)
    ]
    assert faults(steps) == []
    return steps
