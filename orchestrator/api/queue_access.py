"""Which queues a caller may name, and what two callers have in common."""

from __future__ import annotations

from collections.abc import Iterable

from orchestrator.api.tokens import Caller
from orchestrator.errors import InsufficientScope
from orchestrator.lifecycle import EVERY_QUEUE, covers


def require_queues(who: Caller, queues: Iterable[str]) -> None:
    """
    Refuse queues that the caller's token is not for.

    Raises:
        InsufficientScope: It names the first of them; that one exists is not said.
    """
    for queue in queues:
        if not covers(who.queues, queue):
            raise InsufficientScope(f"This token is not for the queue {queue}.")


def require_all_queues(who: Caller, why: str) -> None:
    """
    Refuse a caller whose token is for some queues only.

    Raises:
        InsufficientScope: It is; with the reason why that is not enough.
    """
    if EVERY_QUEUE not in who.queues:
        raise InsufficientScope(f"{why}: use a token for all queues.")


def common_patterns(ours: tuple[str, ...], theirs: tuple[str, ...]) -> tuple[str, ...]:
    """Patterns that cover exactly the queues that both cover."""
    narrower = (_narrower(our, their) for our in ours for their in theirs)
    return tuple(dict.fromkeys(pattern for pattern in narrower if pattern is not None))


def _narrower(one: str, other: str) -> str | None:
    # A prefix covers a longer prefix and an exact name in the same way: by how
    # they begin.
    if covers((one,), other):
        return other
    if covers((other,), one):
        return one
    return None
