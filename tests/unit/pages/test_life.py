"""A run's life: what the ledger says, as stretches of time."""

from datetime import timedelta

import pytest

from orchestrator.pages.event_words import unsaid_detail, words_of
from orchestrator.pages.life import life_of
from tests.unit.pages.ledger_lines import BEGINNING, Ledger, eventful


def test_each_phase_has_its_lease_its_step_and_how_long_it_lasted() -> None:
    life = life_of(eventful().newest_first, step_index=1)

    assert [
        (phase.name, phase.lasted, phase.holder, phase.fence, phase.step_index) for phase in life
    ] == [
        ("pending", "2.0 s", None, None, None),
        ("loading", "500 ms", "a:1", 7, None),
        ("started", "1.0 s", "a:1", 7, 0),
        ("back-off", "4.0 s", None, None, None),
        ("pending", "1.0 s", None, None, None),
        ("loading", "30.0 s", "a:2", 8, 0),
        ("pending", "1 h", None, None, None),
        ("loading", "1.0 s", "b", 9, 0),
        ("started", None, "b", 9, 1),
    ]
    assert life[0].began_at == BEGINNING
    assert life[-1].ended_at is None


def test_what_happens_while_a_lease_goes_on_marks_its_phase_and_ends_none() -> None:
    ledger = eventful().line(5, "abort-requested", "started", executor="b", fence=9, actor="ops")
    started = life_of(ledger.newest_first, step_index=1)[-1]

    assert [mark.words for mark in started.marks] == [
        "step 1, which changes something elsewhere, began",
        "its holder was asked to stop, as wanted by ops",
    ]
    assert started.marks[1].at - started.marks[0].at == timedelta(seconds=5)
    assert started.began_by == "step 0 is done, pay is next"


def test_a_life_of_which_the_beginning_is_missing_begins_with_what_is_known() -> None:
    newest = eventful().newest_first[:2]
    [begins_late] = life_of(newest[:1], step_index=4)

    assert [phase.state for phase in life_of(newest, step_index=4)] == ["started"]
    assert (begins_late.state, begins_late.step_index, begins_late.marks) == ("started", 4, ())


def test_a_clock_that_was_set_back_makes_no_phase_shorter_than_nothing() -> None:
    ledger = Ledger().line(0, "created", "pending").line(-9, "aborted", "aborted", actor="ops")
    pending, aborted = life_of(ledger.newest_first, step_index=0)

    assert pending.lasted == "0 ms"
    assert (aborted.is_over, aborted.lasted) == (True, None)


def test_nothing_is_known_of_no_events() -> None:
    assert life_of([], step_index=0) == []


WAITS = [
    ("created", "scheduled", {}, "not due yet"),
    ("reported", "scheduled", {"outcome": "error"}, "back-off"),
    ("reported", "scheduled", {"outcome": "later"}, "not due yet"),
    ("released", "scheduled", {"reason": "no-handler"}, "pause"),
    ("reported", "waiting", {"outcome": "awaiting-input"}, "waits for input"),
    ("reported", "waiting", {"outcome": "unknown"}, "outcome unknown"),
    ("expired", "waiting", {}, "outcome unknown"),
]


@pytest.mark.parametrize(("kind", "state", "detail", "name"), WAITS)
def test_why_a_run_waits_is_in_the_name_of_the_phase(
    kind: str, state: str, detail: dict[str, str], name: str
) -> None:
    [phase] = life_of(Ledger().line(0, kind, state, **detail).newest_first, step_index=0)

    assert phase.name == name


SENTENCES = [
    ("created", {}, "created by web"),
    ("claimed", {}, "claimed by a:1"),
    ("started", {}, "a:1 confirmed that it executes"),
    ("reported", {"outcome": "success", "stepIndex": 2}, "step 2 is done"),
    (
        "reported",
        {"outcome": "error", "stepIndex": 0, "code": "step-failed", "message": "no card"},
        "step 0 failed for good (step-failed): no card",
    ),
    ("reported", {"outcome": "later", "stepIndex": 0}, "step 0 is to be executed later"),
    ("expired", {"stepIndex": 0, "code": "crashed-too-often"},
     "the lease of a:1 ran out: crashed-too-often"),
    ("released", {"reason": "draining"}, "a:1 gave it back: draining"),
    ("aborted", {"reason": "not wanted"}, "aborted by web: not wanted"),
    ("resolved", {"as": "run-again", "stepIndex": 3},
     "web says that step 3 is to be run again"),
    ("timed-out", {"stepIndex": 1, "next": "remind"},
     "no input came for step 1 in time, remind is next"),
    ("of-a-later-version", {"what": 1}, "of-a-later-version"),
]  # fmt: skip


@pytest.mark.parametrize(("kind", "detail", "sentence"), SENTENCES)
def test_an_event_is_told_in_a_sentence(
    kind: str, detail: dict[str, object], sentence: str
) -> None:
    [event] = Ledger().line(0, kind, "pending", executor="a:1", **detail).newest_first

    assert words_of(event) == sentence


def test_what_the_sentence_does_not_say_is_shown_beside_and_hashes_never() -> None:
    known = Ledger().line(0, "aborted", "aborted", reason="no", keyId="k1", bodyHash="00")
    unknown = Ledger().line(0, "of-a-later-version", "aborted", reason="no", bodyHash="00")

    assert unsaid_detail(known.newest_first[0]) == '{"keyId":"k1"}'
    assert unsaid_detail(unknown.newest_first[0]) == '{"reason":"no"}'
    assert unsaid_detail(Ledger().line(0, "created", "pending").newest_first[0]) == ""
