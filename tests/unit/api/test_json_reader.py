"""The one JSON reader, row by row of what a lenient one lets through."""

import json
import time
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.api.reader import read_json
from orchestrator.api.refusals import (
    JsonNumberOutOfRange,
    JsonTooComplex,
    MalformedJson,
    UnsupportedCharacter,
)

MALFORMED = {
    "nothing": b"",
    "blanks": b"  \n",
    "no JSON": b"hello",
    "truncated": b'{"a": [1, 2',
    "trailing garbage": b"{} x",
    "two values": b"{}{}",
    "byte order mark": b"\xef\xbb\xbf{}",
    "UTF-16 with its mark": "{}".encode("utf-16"),
    "UTF-16 without": '{"a": 1}'.encode("utf-16-be"),
    "not UTF-8": b'{"a": "\xff"}',
    "overlong UTF-8": b'{"a": "\xc0\x80"}',
    "a surrogate in UTF-8": b'{"a": "\xed\xa0\x80"}',
    "NaN": b'{"a": NaN}',
    "Infinity": b"[Infinity]",
    "minus Infinity": b"[-Infinity]",
    "a name twice": b'{"a": 1, "b": 2, "a": 1}',
    "a name twice, spelled differently": b'{"a": 1, "\\u0061": 2}',
    "a control character in a string": b'{"a": "\x00"}',
    "a tab in a string": b'{"a": "\t"}',
    "an escape that is none": b'"\\x41"',
    "single quotes": b"{'a': 1}",
    "a trailing comma": b"[1,]",
    "a comment": b"{} // x",
    "a leading zero": b"[01]",
    "a bare point": b"[1.]",
    "a plus": b"[+1]",
    "a non-breaking space in front": "\u00a0{}".encode(),
    "closed too often": b"[]]" * 40,
}

TOO_COMPLEX = {
    "33 deep": b"[" * 33 + b"]" * 33,
    "100,000 deep": b"[" * 100_000 + b"]" * 100_000,
    "100,000 deep and never closed": b"[" * 100_000,
    "100,000 objects deep": b'{"a":' * 100_000 + b"1" + b"}" * 100_000,
    "deep behind a string of brackets": b'{"a":"' + b"]" * 99 + b'","b":' + b"[" * 40,
    "100,000 names": b"{" + b",".join(b'"%d":0' % n for n in range(100_000)) + b"}",
    "50,001 names within": b'[[1],{"a":[{%s}]}]' % b",".join(b'"%d":0' % n for n in range(50_001)),
    "50,001 names and an escape": (
        b'{"\\n":1,%s}' % b",".join(b'"%d":0' % n for n in range(50_000))
    ),
    "a million items": b"[" + b"1," * 999_999 + b"1]",
    "brackets without end": b"[]" * 3_000_000,
}

OUT_OF_RANGE = {
    "5,000 digits": b"[" + b"9" * 5_000 + b"]",
    "309 digits": b"[" + b"9" * 309 + b"]",
    "minus 309 digits": b"[-" + b"9" * 309 + b"]",
    "1e999": b'{"a": 1e999}',
    "minus 1e999": b"[-1e999]",
    "400 digits and a point": b"[" + b"9" * 400 + b".5]",
    "a short exponent of a long number": b"[" + b"9" * 300 + b"e20]",
}

UNSUPPORTED = {
    "NUL": (b'{"a": "x\\u0000y"}', "/a"),
    "NUL in a name": (b'{"o": {"x\\u0000": 1}}', "/o"),
    "half a pair": (b'{"a": ["", "\\ud800"]}', "/a/1"),
    "the other half": (b'{"a/b": "\\uDFFF"}', "/a~1b"),
    "two halves in the wrong order": (b'["\\udc00\\ud800"]', "/0"),
    "half a pair in a name": (b'{"\\ud800": 1}', ""),
}


@pytest.mark.parametrize("body", MALFORMED.values(), ids=MALFORMED)
def test_what_is_no_json_is_malformed(body):
    with pytest.raises(MalformedJson):
        read_json(body)


@pytest.mark.parametrize("body", TOO_COMPLEX.values(), ids=TOO_COMPLEX)
def test_what_is_too_deep_or_too_wide_is_refused_quickly(body):
    began_at = time.monotonic()

    with pytest.raises(JsonTooComplex):
        read_json(body)
    assert time.monotonic() - began_at < 5


@pytest.mark.parametrize("body", OUT_OF_RANGE.values(), ids=OUT_OF_RANGE)
def test_a_number_that_cannot_be_kept_is_refused(body):
    with pytest.raises(JsonNumberOutOfRange):
        read_json(body)


@pytest.mark.parametrize(("body", "path"), UNSUPPORTED.values(), ids=UNSUPPORTED)
def test_a_character_that_jsonb_cannot_hold_is_refused_with_its_place(body, path):
    with pytest.raises(UnsupportedCharacter) as refused:
        read_json(body)
    assert refused.value.members["path"] == path


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        (b' \r\n\t{"a": [1, 2.5, true, null]} \n', {"a": [1, 2.5, True, None]}),
        (b"[" * 32 + b"]" * 32, json.loads("[" * 32 + "]" * 32)),
        (b'"' + b"[" * 10_000 + b'"', "[" * 10_000),
        (b'["' + b"," * 600_000 + b'"]', ["," * 600_000]),
        (b"9" * 308, int("9" * 308)),
        (b"18446744073709551616", 2**64),
        (b"9223372036854775808", 2**63),
        (b"-9223372036854775809", -(2**63) - 1),
        (b"-0", 0),
        (b"1e308", 1e308),
        (b"1e-999", 0.0),
        (b'"\\ud83d\\ude00"', "\U0001f600"),
        (b'"\\\\u0000 \\\\ud800"', "\\u0000 \\ud800"),
        ('"\u202e\u00e9"'.encode(), "\u202e\u00e9"),
        (b"null", None),
    ],
)
def test_what_is_proper_is_read_as_it_is(body, expected):
    # Compared as they are written: 1.0 is not 1, and -0.0 is not 0.
    assert repr(read_json(body)) == repr(expected)


values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(min_value=-(10**307), max_value=10**307)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"])),
    lambda inner: (
        st.lists(inner, max_size=5)
        | st.dictionaries(
            st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"])),
            inner,
            max_size=5,
        )
    ),
    max_leaves=20,
)


@given(values, st.booleans())
def test_whatever_was_written_is_read(value, escaped):
    body = json.dumps(value, ensure_ascii=escaped).encode()

    assert repr(read_json(body)) == repr(value)


@given(st.lists(st.text('ab"\\', max_size=2), max_size=4), values)
def test_a_name_that_is_there_twice_is_seen_wherever_it_is(names, value):
    members = ",".join(f"{json.dumps(name)}:{json.dumps(value)}" for name in names)
    body = f'[{json.dumps(value)},{{"o":{{{members}}}}}]'.encode()

    if len(set(names)) == len(names):
        assert read_json(body) == [value, {"o": dict.fromkeys(names, value)}]
    else:
        with pytest.raises(MalformedJson, match="more than once"):
            read_json(body)


@given(st.binary(max_size=200))
def test_no_bytes_are_a_surprise(body):
    with suppress(MalformedJson, JsonTooComplex, JsonNumberOutOfRange, UnsupportedCharacter):
        read_json(body)
