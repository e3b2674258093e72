"""The form of a run that waits for input, and what is made of what was typed into it."""

import json
from typing import Any

import orjson
import pytest

from orchestrator.errors import ValidationFailed
from orchestrator.pages.typed_input import WHOLE, typed_input, typed_json
from orchestrator.pages.wanted_input import MOST_FIELDS, WantedInput


def wanted(schema: Any) -> WantedInput:
    return WantedInput.of(orjson.Fragment(json.dumps({"reason": "input", "schema": schema})))


def of_members(**members: Any) -> WantedInput:
    return wanted({"type": "object", "properties": members})


APPROVAL = {
    "type": "object",
    "title": "Approve it",
    "description": "Money goes out.",
    "required": ["approved", "amount"],
    "additionalProperties": False,
    "properties": {
        "note": {"type": "string", "title": "Note", "maxLength": 200, "default": "–"},
        "amount": {"type": "number", "description": "in EUR", "minimum": 0, "maximum": 500},
        "approved": {"type": "boolean"},
        "channel": {"enum": ["bank", 2, True]},
        "times": {"type": "integer", "default": 1},
    },
}


def test_a_flat_object_has_a_field_for_each_member_what_is_needed_first() -> None:
    form = wanted(APPROVAL)

    assert (form.title, form.description) == ("Approve it", "Money goes out.")
    assert [
        (field.name, field.title, field.required, field.default) for field in form.fields or ()
    ] == [
        ("choice/approved", "approved", True, ""),
        ("number/amount", "amount", True, ""),
        ("string/note", "Note", False, "–"),
        ("choice/channel", "channel", False, ""),
        ("integer/times", "times", False, "1"),
    ]
    approved, amount, note, channel, _ = form.fields or ()
    assert approved.options == (("true", "yes"), ("false", "no"))
    assert channel.options == (('"bank"', "bank"), ("2", "2"), ("true", "true"))
    assert (amount.description, amount.between) == ("in EUR", "at least 0, at most 500")
    assert note.between == "at most 200 characters"


def test_what_was_typed_is_the_input_and_what_was_left_empty_is_not_in_it() -> None:
    sent = {
        "form-token": "t",
        "key": "k",
        "version": "9",
        "choice/approved": "true",
        "number/amount": " 129.50 ",
        "string/note": "  it's <b>fine</b>\r\n",
        "choice/channel": '"bank"',
        "integer/times": "",
        "string/a/b~c": "x",
    }

    assert typed_input(sent) == {
        "approved": True,
        "amount": 129.5,
        "note": "  it's <b>fine</b>\r\n",
        "channel": "bank",
        "a/b~c": "x",
    }


def test_a_large_integer_stays_exact() -> None:
    assert typed_input({"integer/n": "12345678901234567890123"}) == {"n": 12345678901234567890123}


@pytest.mark.parametrize("typed", ["x", "1,5", "0x10", "NaN", "1e999", "true", '"7"', "[7]", "007"])
@pytest.mark.parametrize("kind", ["number", "integer"])
def test_what_is_no_number_is_refused_at_its_field(kind: str, typed: str) -> None:
    with pytest.raises(ValidationFailed) as refused:
        typed_input({f"{kind}/amount": typed, "string/note": "fine"})

    [fault] = refused.value.members["errors"]
    assert fault["path"] == "/input/amount"
    assert "number" in fault["message"]


@pytest.mark.parametrize(
    ("name", "typed"), [("integer/n", "1.5"), ("choice/n", "bank"), ("other/n", "1")]
)
def test_what_is_not_of_its_kind_is_refused(name: str, typed: str) -> None:
    with pytest.raises(ValidationFailed, match="/input/n"):
        typed_input({name: typed})


def test_every_bad_field_is_named() -> None:
    with pytest.raises(ValidationFailed) as refused:
        typed_input({"integer/a": "x", "number/b": "y"})

    assert [fault["path"] for fault in refused.value.members["errors"]] == ["/input/a", "/input/b"]


MORE_THAN_FIELDS: dict[str, Any] = {
    "no schema": None,
    "anything": True,
    "a list": {"type": "array"},
    "no type": {"properties": {"a": {"type": "string"}}},
    "no members": {"type": "object", "properties": {}},
    "one of two": {"type": "object", "properties": {"a": {"type": "string"}}, "oneOf": [{}]},
    "a needed member that is not described": {
        "type": "object",
        "properties": {"a": {"type": "string"}},
        "required": ["b"],
    },
    "too many": {
        "type": "object",
        "properties": {f"m{number}": {"type": "string"} for number in range(MOST_FIELDS + 1)},
    },
    **{
        what: {"type": "object", "properties": {"a": {"type": "string"}, name: member}}
        for what, name, member in [
            ("an object in it", "b", {"type": "object"}),
            ("a list in it", "b", {"type": "array"}),
            ("two types", "b", {"type": ["string", "null"]}),
            ("a reference", "b", {"$ref": "#/$defs/b"}),
            ("any type", "b", {}),
            ("true", "b", True),
            ("a choice of nothing", "b", {"enum": []}),
            ("a choice of lists", "b", {"enum": [[1]]}),
            ("a choice with null", "b", {"enum": ["a", None]}),
            ("a choice that cannot be seen", "b", {"enum": ["a\u202eb"]}),
            ("a member that cannot be seen", "b\u200b", {"type": "string"}),
        ]
    },
}


@pytest.mark.parametrize("case", MORE_THAN_FIELDS)
def test_any_other_schema_is_answered_with_json(case: str) -> None:
    assert wanted(MORE_THAN_FIELDS[case]).fields is None


def test_a_wait_without_a_schema_is_answered_with_json() -> None:
    assert WantedInput.of(orjson.Fragment(b'{"reason": "input"}')).fields is None


def test_json_begins_as_an_object_where_one_is_asked_for() -> None:
    assert wanted({"type": "object"}).default == "{}"
    assert wanted({"type": "array"}).default == ""


def test_as_many_fields_as_there_may_be_fit_into_a_form() -> None:
    members = {f"m{number}": {"type": "string"} for number in range(MOST_FIELDS)}

    assert len(of_members(**members).fields or ()) == MOST_FIELDS


@pytest.mark.parametrize(
    ("typed", "value"), [("{}", {}), (" [1, 2.5]\r\n", [1, 2.5]), ("null", None), ('"x"', "x")]
)
def test_json_is_what_it_says(typed: str, value: Any) -> None:
    assert typed_input({WHOLE: typed}) == value


@pytest.mark.parametrize(
    "typed", ["", "  ", "{", "{'a': 1}", '{"a": 1, "a": 2}', "NaN", '"\\u0000"']
)
def test_what_is_no_json_is_refused(typed: str) -> None:
    with pytest.raises(ValidationFailed, match=r"^/output: "):
        typed_json(typed, "/output")
