"""What an event of the ledger says, in a sentence that needs no glossary."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final

import orjson

from orchestrator.lifecycle import Ending
from orchestrator.store.events import Event
from orchestrator.store.records import text_of

Detail = Mapping[str, Any]

# They tell a repeat from something new, and people nothing.
_FOR_PROGRAMS: Final = frozenset({"outcomeHash", "bodyHash"})
_IN_THE_WORDS: Final = frozenset(
    {"stepIndex", "outcome", "next", "message", "code", "reason", "as"}
)


def detail_of(event: Event) -> Detail:
    """What is kept beside an event."""
    found: Detail = orjson.loads(text_of(event.detail))
    return found


def unsaid_detail(event: Event) -> str:
    """The same, as far as it is for people and the words do not say it; JSON, or nothing."""
    said = _FOR_PROGRAMS | _IN_THE_WORDS if event.kind in _WORDS else _FOR_PROGRAMS
    unsaid = {name: value for name, value in detail_of(event).items() if name not in said}
    return orjson.dumps(unsaid).decode() if unsaid else ""


def words_of(event: Event) -> str:
    """What happened; an event of a kind that a later version writes goes by its name."""
    say = _WORDS.get(event.kind)
    return event.kind if say is None else say(event, detail_of(event))


def _reported(_event: Event, detail: Detail) -> str:
    step = f"step {detail.get('stepIndex')}"
    outcome = detail.get("outcome")
    if outcome == "success":
        return f"{step} is done" + (f", {detail['next']} is next" if detail.get("next") else "")
    if outcome == "awaiting-input":
        return f"{step} waits for input"
    if outcome == "later":
        return f"{step} is to be executed later"
    if outcome == "unknown":
        return f"nobody knows whether {step} was done" + _because(detail.get("message"))
    failed = f"{step} failed" + (f" for good ({detail['code']})" if detail.get("code") else "")
    return failed + _because(detail.get("message"))


def _ended(how: str) -> Callable[[Event, Detail], str]:
    def say(event: Event, detail: Detail) -> str:
        gone = how.format(holder=event.executor or "its holder")
        return gone + _because(detail.get("reason")) + _because(detail.get("code"))

    return say


def _by_someone(what: str) -> Callable[[Event, Detail], str]:
    def say(event: Event, detail: Detail) -> str:
        by = f"{what} by {event.actor}" if event.actor else what
        return by + _because(detail.get("reason"))

    return say


def _resolved(event: Event, detail: Detail) -> str:
    what = {
        "done": "was done",
        "run-again": "is to be run again",
        "abort": "is given up",
    }.get(str(detail.get("as")), "was resolved")
    return f"{event.actor} says that step {detail.get('stepIndex')} {what}"


def _timed_out(_event: Event, detail: Detail) -> str:
    went_on = f", {detail['next']} is next" if detail.get("next") else ""
    return f"no input came for step {detail.get('stepIndex')} in time{went_on}"


def _because(why: Any) -> str:
    return f": {why}" if why else ""


_WORDS: Final[Mapping[str, Callable[[Event, Detail], str]]] = {
    "created": _by_someone("created"),
    "due": lambda _event, _detail: "its time came",
    "claimed": lambda event, _detail: f"claimed by {event.executor}",
    "started": lambda event, _detail: f"{event.executor} confirmed that it executes",
    "step-started": lambda _event, detail: (
        f"step {detail.get('stepIndex')}, which changes something elsewhere, began"
    ),
    "reported": _reported,
    Ending.EXPIRED: _ended("the lease of {holder} ran out"),
    Ending.RELEASED: _ended("{holder} gave it back"),
    Ending.ORPHANED: _ended("{holder} never got to know of its lease"),
    Ending.REPLACED: _ended("{holder} was started anew"),
    Ending.REVOKED: _ended("the lease of {holder} was revoked"),
    "timed-out": _timed_out,
    "abort-requested": _by_someone("its holder was asked to stop, as wanted"),
    "aborted": _by_someone("aborted"),
    "retried": _by_someone("retried"),
    "resumed": _by_someone("given its input"),
    "resolved": _resolved,
}
