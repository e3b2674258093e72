"""Which server a process may serve from, and which it asks first, by what it has seen."""

import pytest
from psycopg.conninfo import conninfo_to_dict

from orchestrator.store.conninfo import beginning_with, each_server
from orchestrator.store.known_primary import KnownPrimary
from orchestrator.store.timeline import Timeline


def seen(*timelines: Timeline | None) -> KnownPrimary:
    """A process that has seen these, in this order."""
    known = KnownPrimary()
    for timeline in timelines:
        known.see(timeline)
    return known


def test_a_server_on_an_older_timeline_than_was_seen_serves_nothing() -> None:
    known = seen(Timeline(1, 2))

    assert not known.see(Timeline(1, 1))
    assert known.see(Timeline(1, 2))
    assert known.see(Timeline(1, 3))
    assert not known.see(Timeline(1, 2))


def test_what_was_refused_is_not_remembered() -> None:
    known = seen(Timeline(1, 3), Timeline(1, 1))

    assert known.has_superseded(Timeline(1, 2))


def test_another_cluster_begins_to_count_anew() -> None:
    """After `pg_upgrade`, or a restore into a new one."""
    known = seen(Timeline(1, 7))

    assert known.see(Timeline(2, 1))
    assert not known.has_superseded(Timeline(2, 1))


def test_a_server_that_does_not_tell_is_served_from() -> None:
    known = seen(Timeline(1, 7), None)

    assert known.see(None)
    assert known.has_superseded(Timeline(1, 6))


@pytest.mark.parametrize(
    ("url", "places"),
    [
        ("postgresql://u@one/d", [("one", None)]),
        ("postgresql:///d", [(None, None)]),
        ("postgresql://u:p@one:1,two:2/d", [("one", "1"), ("two", "2")]),
        ("host=one,two,three port=7 dbname=d", [("one", "7"), ("two", "7"), ("three", "7")]),
    ],
)
def test_the_servers_of_a_url_are_told_apart(
    url: str, places: list[tuple[str | None, str | None]]
) -> None:
    found = [conninfo_to_dict(server) for server in each_server(url)]

    assert [(one.get("host"), one.get("port")) for one in found] == places
    assert {one["dbname"] for one in found} == {"d"}


@pytest.mark.parametrize(
    ("url", "first", "hosts", "ports"),
    [
        ("postgresql://one:1,two:2/d", ("two", 2), "two,one", "2,1"),
        ("postgresql://one,two,three/d", ("two", 5432), "two,one,three", ",,"),
        ("host=one,two,three port=7", ("three", 7), "three,one,two", "7,7,7"),
        ("postgresql://one:1,two:2/d", ("gone", 2), "one,two", "1,2"),
        ("postgresql://one:1,two:2/d", None, "one,two", "1,2"),
        ("postgresql://one:1,two:2/d?load_balance_hosts=random", ("two", 2), "one,two", "1,2"),
        ("postgresql://one:1/d", ("one", 1), "one", "1"),
    ],
)
def test_a_server_is_asked_before_the_others(
    url: str, first: tuple[str, int] | None, hosts: str, ports: str | None
) -> None:
    found = conninfo_to_dict(beginning_with(url, first))

    assert (found["host"], found.get("port")) == (hosts, ports)
