"""JSON web tokens, HS256."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
from collections.abc import Mapping
from typing import Any

HEADER = {"alg": "HS256", "typ": "JWT"}


class BadToken(Exception):
    """No token of this key."""


def sign(claims: Mapping[str, Any], key: str) -> str:
    parts = [_encode(json.dumps(part, separators=(",", ":")).encode()) for part in (HEADER, claims)]
    return ".".join([*parts, _encode(_signature(".".join(parts), key))])


def verify(token: str, key: str) -> dict[str, Any]:
    """
    The claims of a token.

    Raises:
        BadToken: It is none, or another key's.
    """
    signed, _, signature = token.rpartition(".")
    if not hmac.compare_digest(_encode(_signature(signed, key)), signature):
        raise BadToken(token)
    claims: dict[str, Any] = json.loads(_decode(signed.partition(".")[2]))
    return claims


def _signature(signed: str, key: str) -> bytes:
    return hmac.digest(key.encode(), signed.encode(), hashlib.sha256)


def _encode(content: bytes) -> str:
    return base64.urlsafe_b64encode(content).rstrip(b"=").decode()


def _decode(text: str) -> bytes:
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
