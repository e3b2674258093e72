"""The local set: the second is refused, and only the owner of an entry removes it."""

import threading

import pytest

from executor.in_flight import InFlightRun, InFlightRuns, RunAlreadyInFlightError


def test_a_run_that_is_in_flight_is_refused_and_the_refusal_names_the_entry():
    in_flight = InFlightRuns()
    first = in_flight.reserve("run-1", queue="default")

    with pytest.raises(RunAlreadyInFlightError) as refused:
        in_flight.reserve("run-1")

    assert refused.value.held is first
    assert refused.value.code == "run_already_in_flight"


def test_a_removed_run_can_be_reserved_again():
    in_flight = InFlightRuns()
    in_flight.remove(in_flight.reserve("run-1"))

    again = in_flight.reserve("run-1")

    assert in_flight.find("run-1") is again
    assert len(in_flight) == 1


def test_a_stale_entry_does_not_remove_the_one_that_took_its_place():
    in_flight = InFlightRuns()
    stale = in_flight.reserve("run-1")
    in_flight.remove(stale)
    current = in_flight.reserve("run-1")

    assert not in_flight.remove(stale)
    assert in_flight.find("run-1") is current


def test_an_entry_with_the_same_content_is_not_the_same_entry():
    in_flight = InFlightRuns()
    held = in_flight.reserve("run-1")

    assert not in_flight.remove(InFlightRun("run-1", since=held.since))


def test_of_many_that_reserve_at_once_one_gets_the_run():
    in_flight = InFlightRuns()
    threads = 16
    for round_number in range(100):
        barrier = threading.Barrier(threads)
        won: list[InFlightRun] = []

        def race(run_id=f"run-{round_number}", barrier=barrier, won=won):
            barrier.wait()
            try:
                won.append(in_flight.reserve(run_id))
            except RunAlreadyInFlightError:
                return

        racers = [threading.Thread(target=race) for _ in range(threads)]
        for racer in racers:
            racer.start()
        for racer in racers:
            racer.join()

        assert len(won) == 1
