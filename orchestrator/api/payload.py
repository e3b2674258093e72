"""A payload: any JSON value that Dibs keeps and hands on without looking into it."""

from __future__ import annotations

import hashlib
import json
import re
from typing import Any, Final

import orjson

from orchestrator.api.refusals import PayloadTooLarge
from orchestrator.api.wire.members import PAYLOAD_LIMIT_BYTES

# Doubles with an exponent, or near zero: orjson writes them in another way than json does.
_DOUBTFUL_DOUBLE: Final = re.compile(rb"[:,\[]-?(?:[0-9.]+e|0\.0000)")


def json_text(value: Any) -> str:
    """A value that the reader has read, as compact JSON; integers stay exact at any size."""
    try:
        return orjson.dumps(value).decode()
    except TypeError:
        # An integer beyond 64 bits, which orjson does not write.
        return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


def payload_text(value: Any, path: str) -> str:
    """
    A payload as compact JSON.

    Args:
        path: Where it stands in the body, for the refusal.

    Raises:
        PayloadTooLarge: It is larger than one payload may be.
    """
    text = json_text(value)
    if len(text.encode()) > PAYLOAD_LIMIT_BYTES:
        raise PayloadTooLarge(
            f"{path} is larger than {PAYLOAD_LIMIT_BYTES} bytes.",
            path=path,
            limitBytes=PAYLOAD_LIMIT_BYTES,
        )
    return text


def body_hash(*parts: Any) -> bytes:
    """
    SHA-256 of what was asked, the same for every spelling of the same JSON.

    It tells a repeated request from another one under the same key, for as long as
    the key counts: the hash of a body never changes from version to version.
    """
    return hashlib.sha256(_canonical(parts)).digest()


def _canonical(value: Any) -> bytes:
    """What `json.dumps` makes of a value, compact and in order of names; mostly faster."""
    try:
        text = orjson.dumps(value, option=orjson.OPT_SORT_KEYS)
    except TypeError:
        # An integer beyond 64 bits.
        text = b""
    if text and not _DOUBTFUL_DOUBLE.search(text):
        return text
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"), sort_keys=True).encode()
