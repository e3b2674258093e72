"""The ribbon: how a life is drawn."""

from itertools import pairwise

import pytest

from orchestrator.pages.life import Phase, life_of
from orchestrator.pages.ribbon import MOST_PHASES, PIXELS_OF_A_PHASE, ribbon_of
from tests.unit.pages.ledger_lines import Ledger, eventful


def life(ledger: Ledger) -> list[Phase]:
    return life_of(ledger.newest_first, step_index=1)


def waits(*seconds: float) -> list[Phase]:
    """A run that is pending and aborted in turn, each for so long, and pending at last."""
    ledger = Ledger().line(0, "created", "pending")
    for place, lasted in enumerate(seconds):
        is_aborted = place % 2 == 0
        ledger.line(lasted, "aborted" if is_aborted else "retried",
                    "aborted" if is_aborted else "pending")  # fmt: skip
    return life(ledger)


def test_phases_stand_side_by_side_over_the_whole_width() -> None:
    segments = ribbon_of(life(eventful())).segments

    assert segments[0].left == 0
    for one, next_one in pairwise(segments):
        assert next_one.left == pytest.approx(one.left + one.width, abs=0.01)
    assert segments[-1].left + segments[-1].width == pytest.approx(100, abs=0.01)


def test_a_night_does_not_squash_a_second() -> None:
    second, night, *_ = ribbon_of(waits(1, 8 * 3_600)).segments

    assert 2 < night.width / second.width < 5


def test_what_took_no_time_can_still_be_seen() -> None:
    nothing, day, *_ = ribbon_of(waits(0, 86_400)).segments

    assert nothing.width > day.width / 20


def test_a_lease_lies_below_the_phases_in_which_it_was_held() -> None:
    ribbon = ribbon_of(life(eventful()))
    held = [segment for segment in ribbon.segments if segment.phase.fence == 9]
    bar = ribbon.leases[-1]

    assert [(lease.holder, lease.fence) for lease in ribbon.leases] == [
        ("a:1", 7),
        ("a:2", 8),
        ("b", 9),
    ]
    assert len(held) == 2
    assert bar.left == held[0].left
    assert bar.width == pytest.approx(held[0].width + held[1].width, abs=0.01)


def test_a_mark_stands_where_it_happened() -> None:
    ledger = eventful().line(0.75, "reported", "finished", stepIndex=1, outcome="success")
    [(at, words)] = ribbon_of(life(ledger)).segments[-2].marks

    assert at == 25
    assert words.startswith("step 1,")


def test_what_goes_on_is_drawn_the_same_however_long_it_does() -> None:
    [mark] = ribbon_of(life(eventful())).segments[-1].marks

    assert mark[0] == 50
    # Nothing of the present time is asked for: the same life is the same drawing.
    assert ribbon_of(life(eventful())) == ribbon_of(life(eventful()))


def test_of_a_long_life_the_last_phases_are_drawn_and_scrolled() -> None:
    phases = waits(*[1.0] * 100)
    ribbon = ribbon_of(phases)

    assert len(phases) == 101
    assert ribbon.left_out == 101 - MOST_PHASES
    assert [segment.phase for segment in ribbon.segments] == phases[-MOST_PHASES:]
    assert ribbon.least_pixels == MOST_PHASES * PIXELS_OF_A_PHASE


def test_a_clock_that_was_set_back_is_drawn_as_no_time() -> None:
    [before, after, _] = ribbon_of(waits(-3_600, 0)).segments

    assert before.width == after.width > 0


def test_no_life_is_no_ribbon() -> None:
    assert ribbon_of([]).segments == ()
