"""A workflow's steps, drawn: one below the other, branches indented."""

from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Any

Steps = Sequence[Mapping[str, Any]]


def draw(steps: Steps, *, unserved: Collection[str] = ()) -> list[tuple[str, str]]:
    """
    The steps in the order in which a run may take them.

    A step that several lead to is drawn once; the others point to it.

    Args:
        steps: As the API gives them; the first is where a run begins.
        unserved: Step types that nobody serves, to be marked.

    Returns:
        For each line the drawing with the step's name, and what is to be said of it.
    """
    by_name = {step["name"]: step for step in steps}
    drawn: set[str] = set()

    def below(name: str, indent: str, branch: str) -> Iterator[tuple[str, str]]:
        if name in drawn:
            yield f"{indent}{branch}↑ {name}", ""
            return
        drawn.add(name)
        step = by_name[name]
        yield f"{indent}{branch}{name}", ", ".join(_facts(step, unserved))
        inner = indent + {"": "", "├─ ": "│  ", "└─ ": "   "}[branch]
        following = step["next"]
        if len(following) == 1:
            yield from below(following[0], inner, "")
            return
        for place, other in enumerate(following, start=1):
            yield from below(other, inner, "└─ " if place == len(following) else "├─ ")

    return list(below(steps[0]["name"], "", ""))


def _facts(step: Mapping[str, Any], unserved: Collection[str]) -> Iterator[str]:
    yield step["type"] + (" (nobody serves it)" if step["type"] in unserved else "")
    if step["mutating"]:
        yield "mutating"
    if step["waits"]:
        yield "waits for input"
    if step["queue"]:
        yield f"queue {step['queue']}"
    if step["timeoutSeconds"]:
        yield f"at most {step['timeoutSeconds']:g} s"
    if failures := step["retry"]["maxFailures"]:
        yield f"at most {failures} failures"
    if step["uses"]:
        yield f"uses {' '.join(step['uses'])}"
