"""The one strict JSON reader: bytes to a value that Postgres can keep.

What a lenient parser lets through ends later as a 500 or as something other
than what was sent: nesting that exhausts the stack, numbers that become
infinite, duplicate members of which the last wins, NUL that jsonb cannot hold.
All of it is refused here, by name.

A text in which nothing of that can be is left to a parser of ten times the speed.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from itertools import accumulate
from json import JSONDecodeError, JSONDecoder
from typing import Any

import orjson

from orchestrator.api.refusals import (
    JsonNumberOutOfRange,
    JsonTooComplex,
    MalformedJson,
    UnsupportedCharacter,
)

MAX_DEPTH = 32
MAX_MEMBERS_OF_AN_OBJECT = 50_000
MAX_VALUES = 500_000
MAX_NUMBER_DIGITS = 308

# Possessive, so that a long string leaves no backtracking states behind.
_STRING = re.compile(rb'"(?:[^"\\]++|\\.)*+"', re.DOTALL)
_NOT_BRACKETS = bytes(byte for byte in range(256) if byte not in b"[]{}")
_BRACKETS_ALIKE = bytes.maketrans(b"{}", b"[]")
_TOO_DEEP = b"[" * (MAX_DEPTH + 1)
_STEP = {ord("["): 1, ord("]"): -1}
_DOUBTFUL_ESCAPE = re.compile(rb"\\u(?:0000|[dD][89a-fA-F])")
_UNSUPPORTED = re.compile("[\0\ud800-\udfff]")
_WHITE_SPACE = " \t\n\r"

_CONTAINERS = frozenset({dict, list})

# Nineteen digits fit into 64 bits; the fast parser makes doubles of longer integers.
_MANY_DIGITS = b"0" * 19
_DIGITS_ALIKE = bytes.maketrans(b"123456789", b"0" * 9)


def read_json(body: bytes) -> Any:
    """
    Read one JSON text, strictly.

    Integers stay exact up to 308 digits; other numbers are doubles.

    Raises:
        MalformedJson: Not JSON, not UTF-8, with a byte order mark, with a
            member named twice, or nothing at all.
        JsonTooComplex: Deeper than 32, more than 50,000 members in an object
            or 500,000 values in all. Known before the parser can recurse.
        JsonNumberOutOfRange: A number that a double or 308 digits cannot hold.
        UnsupportedCharacter: NUL or a lone surrogate in a string or a name.
    """
    _refuse_complexity(body)
    if _is_plain(body):
        try:
            value = orjson.loads(body)
        except orjson.JSONDecodeError:
            # The strict reader has the words for it.
            return _read_strictly(body)
        # Without escapes a string has two quotes: of a member named twice one is lost.
        if orjson.dumps(value).count(b'"') == body.count(b'"'):
            if body.count(b",") >= MAX_MEMBERS_OF_AN_OBJECT:
                _refuse_large_objects(value)
            return value
    return _read_strictly(body)


def _is_plain(body: bytes) -> bool:
    """Whether it has no escapes and no integers beyond 64 bits."""
    return b"\\" not in body and _MANY_DIGITS not in body.translate(_DIGITS_ALIKE)


def _read_strictly(body: bytes) -> Any:
    try:
        text = body.decode("utf-8")
    except UnicodeDecodeError as undecodable:
        raise MalformedJson(
            f"The body is not UTF-8: byte {undecodable.start} begins no character."
        ) from None
    try:
        # `decode` takes trailing white space, `raw_decode` none in front.
        value, end = _DECODER.raw_decode(text, len(text) - len(text.lstrip(_WHITE_SPACE)))
    except JSONDecodeError as malformed:
        raise MalformedJson(
            f"The body is not JSON: {malformed.msg} at line {malformed.lineno},"
            f" column {malformed.colno}."
        ) from None
    if text[end:].strip(_WHITE_SPACE):
        raise MalformedJson("The body goes on after its JSON value.")
    if _DOUBTFUL_ESCAPE.search(body):
        _refuse_characters(value)
    return value


def _refuse_complexity(body: bytes) -> None:
    values, brackets = body.count(b","), body.count(b"[") + body.count(b"{")
    if values < MAX_VALUES and brackets <= MAX_DEPTH:
        return
    # Where nothing is escaped, strings are what stands between every other pair of quotes.
    outside = _STRING.sub(b"", body) if b"\\" in body else b"".join(body.split(b'"')[::2])
    if outside.count(b",") >= MAX_VALUES:
        raise JsonTooComplex(f"The body holds more than {MAX_VALUES} values.")
    # Brackets without commas between them are no JSON for long; the cap keeps
    # what follows short all the same.
    shape = outside.translate(_BRACKETS_ALIKE, delete=_NOT_BRACKETS)
    if len(shape) > 4 * MAX_VALUES:
        raise JsonTooComplex(f"The body holds more than {MAX_VALUES} values.")
    # Each round takes away the innermost level; what is left is too deep, or no JSON.
    left, rounds = shape, 0
    while left and rounds < MAX_DEPTH and _TOO_DEEP not in left:
        left, rounds = left.replace(b"[]", b""), rounds + 1
    # Looked at one by one, and no further than needed: no other thread works meanwhile.
    if left and any(depth > MAX_DEPTH for depth in accumulate(map(_STEP.__getitem__, shape))):
        raise JsonTooComplex(f"The body is nested deeper than {MAX_DEPTH}.")


def _refuse_large_objects(value: Any) -> None:
    level = [value] if type(value) in _CONTAINERS else []
    while level:
        for one in level:
            if type(one) is dict:
                _refuse_many_members(one)
        level = [
            inner
            for one in level
            for inner in (one.values() if type(one) is dict else one)
            if type(inner) in _CONTAINERS
        ]


def _refuse_many_members(read: dict[str, Any]) -> None:
    if len(read) > MAX_MEMBERS_OF_AN_OBJECT:
        raise JsonTooComplex(f"An object has more than {MAX_MEMBERS_OF_AN_OBJECT} members.")


def _object(members: list[tuple[str, Any]]) -> dict[str, Any]:
    read = dict(members)
    if len(read) != len(members):
        [(name, _)] = Counter(name for name, _ in members).most_common(1)
        raise MalformedJson(f"The member {name!r} is there more than once.")
    _refuse_many_members(read)
    return read


def _integer(digits: str) -> int:
    if len(digits.lstrip("-")) > MAX_NUMBER_DIGITS:
        raise JsonNumberOutOfRange(f"An integer has more than {MAX_NUMBER_DIGITS} digits.")
    return int(digits)


def _number(digits: str) -> float:
    value = float(digits)
    if value in (float("inf"), float("-inf")):
        raise JsonNumberOutOfRange("A number is too large for a double.")
    return value


def _constant(name: str) -> Any:
    raise MalformedJson(f"The body is not JSON: it has no {name}.")


_DECODER = JSONDecoder(
    object_pairs_hook=_object, parse_int=_integer, parse_float=_number, parse_constant=_constant
)


def _refuse_characters(value: Any) -> None:
    for path, text in _strings(value, ""):
        if found := _UNSUPPORTED.search(text):
            what = "the character NUL" if found[0] == "\0" else "half of a surrogate pair"
            raise UnsupportedCharacter(f"{path or 'The body'} holds {what}.", path=path)


def _strings(value: Any, path: str) -> Iterator[tuple[str, str]]:
    """Every string and every member's name, with the JSON pointer of what holds it."""
    if isinstance(value, str):
        yield path, value
    elif isinstance(value, dict):
        for name, member in value.items():
            yield path, name
            yield from _strings(member, pointer(path, name))
    elif isinstance(value, list):
        for index, item in enumerate(value):
            yield from _strings(item, f"{path}/{index}")


def pointer(path: str, name: str) -> str:
    """The JSON pointer (RFC 6901) of a member."""
    return f"{path}/{name.replace('~', '~0').replace('/', '~1')}"
