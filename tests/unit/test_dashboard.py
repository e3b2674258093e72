"""The dashboard: a Grafana of any installation can show it."""

from itertools import combinations

from tests import watched

PANELS = watched.dashboard()["panels"]


def test_panels_have_numbers_of_their_own_and_lie_beside_each_other():
    def overlap(a, b):
        return (
            a["x"] < b["x"] + b["w"]
            and b["x"] < a["x"] + a["w"]
            and a["y"] < b["y"] + b["h"]
            and b["y"] < a["y"] + a["h"]
        )

    places = [panel["gridPos"] for panel in PANELS]

    assert len({panel["id"] for panel in PANELS}) == len(PANELS)
    assert not [pair for pair in combinations(places, 2) if overlap(*pair)]
    assert all(place["x"] + place["w"] <= 24 for place in places)


def test_every_panel_says_what_it_shows_and_asks_the_source_that_was_chosen():
    for panel in PANELS:
        if panel["type"] != "row":
            assert panel["description"]
            for asks in (panel, *panel["targets"]):
                assert asks["datasource"]["uid"] == "${datasource}"


def test_there_is_a_row_for_each_part():
    assert [panel["title"] for panel in PANELS if panel["type"] == "row"] == [
        "Overview",
        "Claims",
        "Queues",
        "Executors and leases",
        "Database and processes",
    ]
