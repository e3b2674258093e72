"""What somebody writes into the search box, and what stands in the address beside it."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final
from uuid import UUID

from werkzeug.datastructures import MultiDict

from orchestrator.api.refusals import MalformedRequest, UnsupportedCharacter
from orchestrator.api.wire.members import canonical_uuid
from orchestrator.lifecycle import RunState, WaitingReason
from orchestrator.store.run_filter import RunFilter

MOST_CHARACTERS: Final = 500
MOST_WORDS: Final = 8
MOST_CHOSEN: Final = 100

# What a term may begin with, in any case. Whatever else has a colon is a word: keys have.
_NAMES: Final = {
    name.lower(): name
    for name in ("state", "queue", "workflow", "executor", "dedupKey", "waiting", "id")
}
_TERM: Final = re.compile(
    rf'(?:(?P<name>{"|".join(_NAMES)}):)?(?:"(?P<quoted>[^"]*)"|(?P<plain>\S+))', re.IGNORECASE
)


@dataclass(frozen=True, slots=True)
class RunQuery:
    """
    Which runs a page is asked for.

    Attributes:
        text: What stands in the search box, without what stands elsewhere in the address.
        states: Those of the tab; none for all.
        mistake: What of the text is not understood, in words; then nothing is sought.
    """

    text: str
    states: tuple[str, ...]
    wanted: RunFilter
    run_id: UUID | None = None
    mistake: str | None = None

    @property
    def narrows(self) -> bool:
        """Whether it asks for anything less than all runs."""
        return self.wanted != RunFilter()

    @property
    def is_by_state_alone(self) -> bool:
        """Whether nothing but the tab narrows it."""
        return self.wanted == RunFilter(states=self.states)


def read_query(said: MultiDict[str, str]) -> RunQuery:
    """
    The query of an address or a form: what is searched for, and terms by their names.

    Raises:
        MalformedRequest, UnsupportedCharacter: No page of ours asks for that.
    """
    text = " ".join([*said.get("search", "").split(), *_named(said)])
    if len(text) > MOST_CHARACTERS:
        raise MalformedRequest(f"Search for at most {MOST_CHARACTERS} characters.")
    if "\0" in text:
        raise UnsupportedCharacter("A search holds a character that no run has.")
    chosen = tuple(sorted({run_id_among(run_id) for run_id in said.getlist("run")}))
    if len(chosen) > MOST_CHOSEN:
        raise MalformedRequest(f"Choose at most {MOST_CHOSEN} runs.")
    states = _states(said.get("state", ""))
    try:
        return _query(text, states, chosen)
    except _Mistake as mistake:
        return RunQuery(text, states, RunFilter(), mistake=str(mistake))


def _named(said: MultiDict[str, str]) -> list[str]:
    """What other pages lead here with: terms of their own, as they stand in the search box."""
    given = {name: said[name] for name in _NAMES.values() if name != "state" and said.get(name)}
    return [
        f'{name}:"{value}"' if " " in value else f"{name}:{value}" for name, value in given.items()
    ]


class _Mistake(Exception):
    """Something in the search box is not understood."""


def run_id_among(text: str) -> UUID:
    """
    The id of a run that a page named.

    Raises:
        MalformedRequest: It is no id.
    """
    try:
        return canonical_uuid(text)
    except ValueError:
        raise MalformedRequest("Name runs as the page does.") from None


def _query(text: str, states: tuple[str, ...], chosen: tuple[UUID, ...]) -> RunQuery:
    terms, words, kept = _terms(text)
    try:
        states = _states(terms["state"]) if "state" in terms else states
    except MalformedRequest as refusal:
        raise _Mistake(refusal.message) from None
    run_id = None
    if "id" in terms:
        run_id = _id_of(terms["id"])
        if run_id is None:
            raise _Mistake("An id is a whole UUID.")
        chosen = (run_id,)
    elif len(words) == 1 and not terms:
        run_id = _id_of(words[0])
    wanted = RunFilter(
        states=states,
        queue=terms.get("queue"),
        workflow=terms.get("workflow"),
        executor=terms.get("executor"),
        dedup_key=terms.get("dedupKey"),
        waiting_reason=_waiting_reason(terms.get("waiting")),
        words=tuple(words),
        ids=chosen,
    )
    return RunQuery(kept, states, wanted, run_id)


def _terms(text: str) -> tuple[dict[str, str], list[str], str]:
    """The named terms, the words, and the text without what it says of states."""
    terms: dict[str, str] = {}
    words: list[str] = []
    kept: list[str] = []
    for found in _TERM.finditer(text):
        value = found["quoted"] if found["plain"] is None else found["plain"]
        name = _NAMES.get((found["name"] or "").lower())
        if name in terms:
            raise _Mistake(f"{name} is named twice.")
        if name is not None:
            terms[name] = value
        elif value:
            words.append(value)
        if name != "state":
            kept.append(found[0])
    if len(words) > MOST_WORDS:
        raise _Mistake(f"Search for at most {MOST_WORDS} words.")
    return terms, words, " ".join(kept)


def _states(text: str) -> tuple[str, ...]:
    try:
        return tuple(sorted({RunState(state) for state in text.split(",") if state}))
    except ValueError:
        raise MalformedRequest(f"A state is one of {', '.join(RunState)}.") from None


def _waiting_reason(text: str | None) -> str | None:
    if text is not None and text not in set(WaitingReason):
        raise _Mistake(f"What a run waits for is one of {', '.join(WaitingReason)}.")
    return text


def _id_of(text: str) -> UUID | None:
    try:
        return canonical_uuid(text.lower())
    except ValueError:
        return None
