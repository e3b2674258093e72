"""A workflow's definition: its steps, and what makes them a workflow.

Pure. A definition is checked once, when it is put; the statements look its
steps up by name, with every default filled in.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

Steps = Sequence[Mapping[str, Any]]


def faults(steps: Steps) -> list[tuple[str, str]]:
    """
    What keeps these steps from being a workflow.

    Args:
        steps: As the wire has them, defaults filled in; the first is where a run begins.

    Returns:
        A JSON pointer and a sentence that names the step, for each fault.
    """
    found = list(_bad_names(steps))
    if not found:
        found = [*_unreachable(steps), *_endless(steps)]
    return found


def by_name(steps: Steps) -> dict[str, Mapping[str, Any]]:
    """The steps as the statements look them up."""
    return {step["name"]: step for step in steps}


def _bad_names(steps: Steps) -> Iterator[tuple[str, str]]:
    names = [step["name"] for step in steps]
    for index, step in enumerate(steps):
        name = step["name"]
        if name in names[:index]:
            yield f"/steps/{index}/name", f"step {name} is there more than once"
        for member in ("next", "uses"):
            for place, other in enumerate(step[member]):
                if other not in names:
                    yield (
                        f"/steps/{index}/{member}/{place}",
                        f"step {name}: there is no step {other}",
                    )
                elif other in step[member][:place]:
                    yield (
                        f"/steps/{index}/{member}/{place}",
                        f"step {name} names {other} twice in {member}",
                    )


def _unreachable(steps: Steps) -> Iterator[tuple[str, str]]:
    following = {step["name"]: step["next"] for step in steps}
    reached: set[str] = set()
    ahead = [steps[0]["name"]]
    while ahead:
        name = ahead.pop()
        if name not in reached:
            reached.add(name)
            ahead += following[name]
    for index, step in enumerate(steps):
        if step["name"] not in reached:
            yield f"/steps/{index}", f"step {step['name']} cannot be reached"


def _endless(steps: Steps) -> Iterator[tuple[str, str]]:
    """Cycles in which no step waits for anyone: a run could go round for ever."""
    following = {step["name"]: [] if step["waits"] else [*step["next"]] for step in steps}
    # What leads nowhere is taken away until only cycles, and what leads into them, are left.
    while loose := [name for name, ahead in following.items() if not ahead]:
        for name in loose:
            del following[name]
        for ahead in following.values():
            ahead[:] = [name for name in ahead if name in following]
    for index, step in enumerate(steps):
        if step["name"] in following and _comes_back(step["name"], following):
            yield (
                f"/steps/{index}/next",
                f"step {step['name']} is in a cycle in which no step waits for input"
                ' (say "waits": true of one that does)',
            )


def _comes_back(name: str, following: Mapping[str, Sequence[str]]) -> bool:
    seen: set[str] = set()
    ahead = [*following[name]]
    while ahead:
        other = ahead.pop()
        if other == name:
            return True
        if other not in seen:
            seen.add(other)
            ahead += following[other]
    return False
