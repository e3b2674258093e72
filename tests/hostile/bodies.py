"""Bodies that are no JSON, or none that a route takes: B11 to B22, B30, B31, B34, B55."""

from functools import partial
from typing import Final

from tests.contract.raw_http import RawAnswer
from tests.hostile.case import MALFORMED_JSON, TOO_LARGE, VALIDATION, Case, Told
from tests.hostile.place import CLIENT, EXECUTOR, JSON, Place

KIB: Final = 1024
TOO_COMPLEX: Final[Told] = (400, "json-too-complex")
OUT_OF_RANGE: Final[Told] = (400, "json-number-out-of-range")
UNSUPPORTED: Final[Told] = (422, "unsupported-character")


def _input(value: bytes) -> bytes:
    return b'{"workflow":"refund","input":' + value + b"}"


def _available(at: bytes) -> bytes:
    return b'{"workflow":"refund","availableAt":' + at + b"}"


def _priority(value: bytes) -> bytes:
    return b'{"workflow":"refund","priority":' + value + b"}"


# What is sent to create a run. Sent as a claim it gets the same answer.
BODIES: Final[dict[str, dict[str, tuple[bytes, Told]]]] = {
    "B11": {
        "not JSON": (b"hello", MALFORMED_JSON),
        "truncated": (b'{"workflow": "re', MALFORMED_JSON),
        "trailing garbage": (b'{"workflow": "refund"} x', MALFORMED_JSON),
    },
    "B12": {
        "empty": (b"", MALFORMED_JSON),
        "blank": (b"  \n", MALFORMED_JSON),
    },
    "B13": {
        "array": (b"[]", VALIDATION),
        "string": (b'"refund"', VALIDATION),
        "number": (b"1", VALIDATION),
        "null": (b"null", VALIDATION),
    },
    "B14": {
        "byte order mark": (b'\xef\xbb\xbf{"workflow":"refund"}', MALFORMED_JSON),
        "UTF-16": ('{"workflow":"refund"}'.encode("utf-16"), MALFORMED_JSON),
        "invalid UTF-8": (b'{"workflow":"\xff\xfe"}', MALFORMED_JSON),
    },
    "B15": {
        "100,000 deep": (_input(b"[" * 100_000 + b"]" * 100_000), TOO_COMPLEX),
        "33 deep": (_input(b"[" * 32 + b"]" * 32), TOO_COMPLEX),
    },
    "B16": {"5,000 digits": (_input(b"9" * 5000), OUT_OF_RANGE)},
    "B17": {"1e999": (_input(b"1e999"), OUT_OF_RANGE)},
    "B18": {
        "NaN": (_input(b"NaN"), MALFORMED_JSON),
        "Infinity": (_input(b"-Infinity"), MALFORMED_JSON),
    },
    "B19": {
        "in a string": (_input(b'"a\\u0000"'), UNSUPPORTED),
        "in a name": (_input(b'{"a\\u0000":1}'), UNSUPPORTED),
    },
    "B20": {
        "in a string": (_input(b'"\\ud800"'), UNSUPPORTED),
        "in a name": (_input(b'{"\\udfff":1}'), UNSUPPORTED),
    },
    "B21": {
        "of the body": (b'{"workflow":"refund","workflow":"other"}', MALFORMED_JSON),
        "within": (_input(b'{"a":1,"a":2}'), MALFORMED_JSON),
    },
    "B22": {
        "100,000 names": (
            _input(b"{%s}" % b",".join(b'"%d":0' % number for number in range(100_000))),
            TOO_LARGE,
        ),
    },
    "B30": {
        "misspelt": (b'{"workflow":"refund","wrokflow":1}', VALIDATION),
        "snake case": (b'{"workflow":"refund","dedup_key":"a"}', VALIDATION),
    },
    "B31": {
        "number as text": (_priority(b'"5"'), VALIDATION),
        "float": (_priority(b"5.0"), VALIDATION),
        "boolean": (_priority(b"true"), VALIDATION),
        "null": (_priority(b"null"), VALIDATION),
        "out of range": (_priority(b"101"), VALIDATION),
        "budget of none": (b'{"workflow":"refund","maxCrashes":0}', VALIDATION),
        "traceparent": (b'{"workflow":"refund","traceparent":"x"}', VALIDATION),
    },
    "B34": {
        "empty": (b'{"workflow":""}', VALIDATION),
        "64 characters": (b'{"workflow":"%s"}' % (b"a" * 64), VALIDATION),
        "129 characters": (b'{"workflow":"refund","queue":"%s"}' % (b"a" * 129), VALIDATION),
        "newline": (b'{"workflow":"refund\\n"}', VALIDATION),
        "right to left": ('{"workflow":"re\u202efund"}'.encode(), VALIDATION),
        "homoglyph": ('{"workflow":"r\u0435fund"}'.encode(), VALIDATION),
    },
    "B55": {
        "year 1": (_available(b'"0001-01-01T00:00:00Z"'), VALIDATION),
        "year 9999": (_available(b'"9999-12-31T23:59:59Z"'), VALIDATION),
        "no zone": (_available(b'"2027-01-01T00:00:00"'), VALIDATION),
        "now": (_available(b'"now"'), VALIDATION),
        "no such day": (_available(b'"2027-02-29T00:00:00Z"'), VALIDATION),
        "a number": (_available(b"1763805600"), VALIDATION),
    },
}
# Within the caps of the routes that take the most.
MANY_ELEMENTS: Final = b"[" + b"0," * 999_999 + b"0]"
MANY_NAMES: Final = b"{%s}" % b",".join(b'"%d":0' % number for number in range(100_000))


def _post(place: Place, path: str, body: bytes, by: str) -> RawAnswer:
    return place.send("POST", path, body, by=by, headers=JSON)


def _cases(path: str, by: str, what: str) -> tuple[Case, ...]:
    return tuple(
        Case(row, f"{name}, {what}", partial(_post, path=path, body=body, by=by), (told,))
        for row, bodies in BODIES.items()
        for name, (body, told) in bodies.items()
    )


CASES: Final = (
    *_cases("/v1/runs", CLIENT, "create"),
    *_cases("/v1/claims", EXECUTOR, "claim"),
    Case(
        "B22",
        "a million elements, batch",
        partial(_post, path="/v1/runs/batch", body=b'{"runs":%s}' % MANY_ELEMENTS, by=CLIENT),
        (TOO_COMPLEX, TOO_LARGE),
    ),
    Case(
        "B22",
        "a million elements, report",
        partial(_post, path="/v1/reports", body=b'{"reports":%s}' % MANY_ELEMENTS, by=EXECUTOR),
        (TOO_COMPLEX, TOO_LARGE),
    ),
    Case(
        "B22",
        "100,000 names, batch",
        partial(_post, path="/v1/runs/batch", body=b'{"runs":%s}' % MANY_NAMES, by=CLIENT),
        (TOO_COMPLEX, TOO_LARGE),
    ),
)
