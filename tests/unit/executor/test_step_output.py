"""The output check: what the orchestrator would refuse is found here."""

import json
from dataclasses import dataclass
from datetime import UTC, datetime

import pytest
from pydantic import BaseModel

from executor.output import DEEPEST_OUTPUT, LARGEST_OUTPUT_BYTES, UnfitOutputError, as_json


@dataclass
class Receipt:
    number: int


class Report(BaseModel):
    day: str


def nested(levels):
    value = "bottom"
    for _ in range(levels):
        value = [value]
    return value


def doubling():
    """Small in memory, because each level is the one below it twice."""
    value: list[object] = []
    for _ in range(DEEPEST_OUTPUT - 1):
        value = [value, value]
    return value


def endless():
    value: list[object] = []
    value.append(value)
    return value


@pytest.mark.parametrize(
    "output", [None, True, 0, -1.5, "text ✓", [], {}, {"a": [1, {"b": None}]}, 2**63 - 1]
)
def test_json_comes_out_as_it_went_in(output):
    assert json.loads(as_json(output)) == output


def test_models_dataclasses_dates_and_tuples_become_json():
    at = datetime(2027, 1, 31, tzinfo=UTC)

    text = as_json({"receipt": Receipt(7), "report": Report(day="x"), "at": at, "pair": (1, 2)})

    assert json.loads(text) == {
        "receipt": {"number": 7},
        "report": {"day": "x"},
        "at": "2027-01-31T00:00:00+00:00",
        "pair": [1, 2],
    }


@pytest.mark.parametrize(
    ("output", "complaint"),
    [
        (object(), "not JSON"),
        (float("nan"), "nan"),
        ([float("inf")], "inf"),
        ({1: "a"}, "key"),
        ("a\x00b", "NUL"),
        ({"a\x00b": 1}, "NUL"),
        ("\ud800", "not JSON"),
        ({"\udfff": 1}, "not JSON"),
        (2**64, "not JSON"),
        (b"bytes", "not JSON"),
        ({1, 2}, "not JSON"),
        ((n for n in range(3)), "not JSON"),
        (endless(), "deeper"),
        (doubling(), "values"),
    ],
    ids=range(14),
)
def test_what_postgres_or_json_cannot_hold_is_refused(output, complaint):
    with pytest.raises(UnfitOutputError, match=complaint):
        as_json(output)


def test_the_deepest_output_fits_and_one_level_more_does_not():
    as_json(nested(DEEPEST_OUTPUT))

    with pytest.raises(UnfitOutputError, match="deeper"):
        as_json(nested(DEEPEST_OUTPUT + 1))
    with pytest.raises(UnfitOutputError, match="deeper"):
        as_json(nested(100_000))


def test_the_largest_output_fits_and_one_byte_more_does_not():
    as_json("x" * (LARGEST_OUTPUT_BYTES - 2))

    with pytest.raises(UnfitOutputError, match="bytes"):
        as_json("x" * (LARGEST_OUTPUT_BYTES - 1))
