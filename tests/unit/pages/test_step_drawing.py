"""A workflow drawn: columns, what passes by, what leads back, and nothing on top of anything."""

import re
import time

import pytest

from orchestrator.pages.step_drawing import BOX_HEIGHT, BOX_WIDTH, drawn
from orchestrator.pages.step_order import Place, ordered


def steps(**following):
    return [{"name": name, "next": others.split()} for name, others in following.items()]


def names(column):
    return [place.name for place in column if place.passing_from is None]


def order_of(**following):
    return ordered(
        next(iter(following)), {name: next_.split() for name, next_ in following.items()}
    )


def test_a_step_stands_behind_the_last_that_leads_to_it():
    order = order_of(check="pay approve", approve="pay mail", pay="mail", mail="")

    assert [names(column) for column in order.columns] == [
        ["check"],
        ["approve"],
        ["pay"],
        ["mail"],
    ]
    assert order.back == []


def test_a_line_that_leads_further_holds_a_place_in_each_column_between():
    order = order_of(a="b d", b="c", c="d", d="")
    [passing] = [line for line in order.lines if line[0].name == "a" and line[-1].name == "d"]

    assert [place.column for place in passing] == [0, 1, 2, 3]
    assert all(place in order.columns[place.column] for place in passing)


@pytest.mark.parametrize(
    ("following", "back"),
    [
        ({"a": "b", "b": "a c", "c": ""}, [("b", "a")]),
        ({"a": "a"}, [("a", "a")]),
        ({"a": "b c", "b": "c", "c": "b d", "d": "a"}, [("c", "b"), ("d", "a")]),
    ],
)
def test_a_cycle_leads_back_once(following, back):
    assert order_of(**following).back == back


def test_lines_are_uncrossed_where_that_is_cheap():
    order = order_of(a="b c", b="e", c="d", d="", e="")

    first, second = (names(column) for column in order.columns[1:])
    assert [{"b": "e", "c": "d"}[name] for name in first] == second


def test_the_same_definition_is_always_drawn_the_same():
    following = {"a": "b c d", "b": "e", "c": "e f", "d": "f a", "e": "", "f": "b"}

    assert drawn(steps(**following)) == drawn(steps(**following))


def fan(width):
    """One step that leads to many, which lead to one."""
    middle = {f"m{at}": "last" for at in range(width)}
    return {"first": " ".join(middle), **middle, "last": ""}


@pytest.mark.parametrize(
    "following",
    [
        {"only": ""},
        {"a": "a"},
        {"check": "pay approve", "approve": "pay mail", "pay": "mail", "mail": ""},
        {"a": "b c", "b": "d", "c": "d b", "d": "a e", "e": "c"},
        fan(40),
        {f"s{at}": f"s{at + 1}" if at < 199 else "" for at in range(200)},
    ],
)
def test_everything_is_inside_and_no_box_on_another(following):
    drawing = drawn(steps(**following))

    assert {box.step["name"] for box in drawing.boxes} == set(following)
    corners = [(box.x, box.y) for box in drawing.boxes]
    for x, y in corners:
        assert 0 <= x <= drawing.width - BOX_WIDTH
        assert 0 <= y <= drawing.height - BOX_HEIGHT
    for index, (x, y) in enumerate(corners):
        for other_x, other_y in corners[:index]:
            assert abs(x - other_x) >= BOX_WIDTH or abs(y - other_y) >= BOX_HEIGHT
    numbers = [
        [int(number) for number in re.findall(r"-?\d+", line.path)] for line in drawing.lines
    ]
    assert len(numbers) == sum(len(next_.split()) for next_ in following.values())
    assert all(
        0 <= number <= max(drawing.width, drawing.height) for line in numbers for number in line
    )


def test_a_line_joins_the_boxes_that_it_is_of():
    drawing = drawn(steps(a="b", b="a"))
    box = {each.step["name"]: each for each in drawing.boxes}
    forward, back = drawing.lines

    assert forward.path.startswith(f"M{box['a'].x + BOX_WIDTH} ")
    assert forward.path.endswith(f"{box['b'].x} {box['b'].y + BOX_HEIGHT // 2}")
    assert back.path.startswith(f"M{box['b'].x + BOX_WIDTH} ")
    assert back.path.endswith(f"H{box['a'].x}")
    assert (forward.leads_back, back.leads_back) == (False, True)


def test_what_nobody_could_follow_is_not_drawn():
    everything = {
        f"s{at}": " ".join(f"s{other}" for other in range(at + 1, 200)) for at in range(200)
    }
    began = time.process_time()

    assert drawn(steps(**everything)) is None
    # A bound that only an explosion would break.
    assert time.process_time() - began < 5


def test_a_place_is_of_its_column_and_line():
    assert Place("a", None, 1) != Place("a", "b", 1)
