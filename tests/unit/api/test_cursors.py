"""A cursor is good for whom and what it was made for."""

from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.api.cursor import make_cursor, read_cursor
from orchestrator.errors import InvalidCursor

KEY = b"k" * 32
FILTERS = {"state": ["pending"], "queue": None}
SOME_ID = UUID("01a20398-f4e1-7770-9bf5-9dee2154fafc")


@given(st.uuids(), st.text(max_size=20))
def test_a_cursor_says_where_the_page_ended(last_id, name):
    cursor = make_cursor(KEY, last_id, token_name=name, filters=FILTERS)

    assert read_cursor(KEY, cursor, token_name=name, filters=FILTERS) == last_id


@pytest.mark.parametrize(
    ("key", "name", "filters"),
    [
        (b"x" * 32, "web", FILTERS),
        (KEY, "other", FILTERS),
        (KEY, "web", FILTERS | {"state": None}),
        (KEY, "web", FILTERS | {"queue": "billing"}),
    ],
)
def test_a_cursor_of_another_question_is_refused(key, name, filters):
    cursor = make_cursor(KEY, SOME_ID, token_name="web", filters=FILTERS)

    with pytest.raises(InvalidCursor):
        read_cursor(key, cursor, token_name=name, filters=filters)


@given(st.text(max_size=60) | st.binary(max_size=40).map(lambda raw: raw.hex()))
def test_a_made_up_cursor_is_refused(cursor):
    with pytest.raises(InvalidCursor):
        read_cursor(KEY, cursor, token_name="web", filters=FILTERS)


def test_a_cursor_that_was_changed_is_refused():
    cursor = make_cursor(KEY, SOME_ID, token_name="web", filters=FILTERS)
    forged = ("B" if cursor[0] == "A" else "A") + cursor[1:]

    with pytest.raises(InvalidCursor):
        read_cursor(KEY, forged, token_name="web", filters=FILTERS)
