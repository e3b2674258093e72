"""Executors by name: which starts are shown, who is gone, and on whom one may act."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from uuid import uuid4

from orchestrator.desk.executors import Service
from orchestrator.pages.fleets import fleets_of
from orchestrator.store.executors import Executor
from orchestrator.store.records import Json

NOW = datetime(2026, 1, 1, tzinfo=UTC)
ALL = ("*",)


def session(name="fleet:one", *, started_ago=60, seen_ago=1, **members):
    said = {"queues": ["default"], "state": "active", "in_flight": 0, **members}
    return Executor(
        full_name=name,
        session=uuid4(),
        token_name="fleet",
        version=None,
        slots=8,
        step_types=[],
        labels=Json(b"{}"),
        url=None,
        reason=None,
        registered_at=NOW - timedelta(seconds=started_ago),
        seen_at=NOW - timedelta(seconds=seen_ago),
        **said,
    )


def test_sessions_of_one_name_stand_together_the_newest_first():
    older, newer, other = session(started_ago=90), session(started_ago=5), session("fleet:two")

    first, second = fleets_of([older, other, newer], ALL, NOW)

    assert (first.name, first.sessions) == ("fleet:one", (newer, older))
    assert (second.name, second.sessions) == ("fleet:two", (other,))


def test_an_earlier_start_is_shown_as_long_as_it_is_there():
    newest = session(started_ago=5)
    gone = session(started_ago=600, seen_ago=91)
    holding = session(started_ago=500, seen_ago=91, in_flight=1)

    [fleet] = fleets_of([gone, newest, holding], ALL, NOW)

    assert fleet.sessions == (newest, holding)


def test_who_is_gone_comes_last_and_is_shown_once():
    gone = session("fleet:a", seen_ago=91)
    before = session("fleet:a", started_ago=900, seen_ago=800)
    there = session("fleet:b", seen_ago=89)

    first, second = fleets_of([before, gone, there], ALL, NOW)

    assert (first.name, first.is_gone) == ("fleet:b", False)
    assert (second.name, second.is_gone, second.sessions) == ("fleet:a", True, (gone,))


def test_only_what_a_token_covers_is_shown_and_shared_ones_are_not_acted_on():
    mine = session("fleet:mine", queues=["billing.eu"])
    shared = session("fleet:shared", queues=["billing.eu", "secret"])
    others = session("fleet:others", queues=["secret"])
    nobodys = session("fleet:nobodys", queues=[])
    billing = ("billing.*",)

    seen = {each.name: each for each in fleets_of([mine, shared, others, nobodys], billing, NOW)}

    assert seen.keys() == {"fleet:mine", "fleet:shared", "fleet:nobodys"}
    assert seen["fleet:shared"].sessions == (replace(shared, queues=["billing.eu"]),)
    assert [name for name, each in seen.items() if each.is_ours] == ["fleet:mine"]


def test_one_session_for_others_keeps_a_name_from_being_acted_on():
    newest, elsewhere = session(started_ago=5), session(started_ago=9, queues=["secret"])

    [fleet] = fleets_of([newest, elsewhere], ("default",), NOW)

    assert (fleet.sessions, fleet.is_ours) == ((newest,), False)


def test_the_service_is_that_of_the_newest_start():
    [fleet] = fleets_of([session(state="quarantined"), session(started_ago=90)], ALL, NOW)

    assert fleet.service is Service.QUARANTINED
