"""Cursors: where a page ended, signed.

A cursor is good for the token's name and the filters it was made for, and for
nothing else: it says what was seen, so nobody may make one up.
"""

from __future__ import annotations

import base64
import hmac
from typing import Any, Final
from uuid import UUID

from orchestrator.api.answer import to_json
from orchestrator.errors import InvalidCursor

_ID_BYTES: Final = 16
_SIGNATURE_BYTES: Final = 16


def make_cursor(key: bytes, last_id: UUID, *, token_name: str, filters: dict[str, Any]) -> str:
    """The cursor of the page after the one that ended with `last_id`."""
    signature = _signature(key, last_id.bytes, token_name, filters)
    return base64.urlsafe_b64encode(last_id.bytes + signature).decode().rstrip("=")


def read_cursor(key: bytes, cursor: str, *, token_name: str, filters: dict[str, Any]) -> UUID:
    """
    The last id of the page before.

    Raises:
        InvalidCursor: It was not made for this token's name and these filters.
    """
    try:
        raw = base64.b64decode(cursor + "=" * (-len(cursor) % 4), altchars=b"-_", validate=True)
    except ValueError:
        raise _invalid() from None
    last_id, signature = raw[:_ID_BYTES], raw[_ID_BYTES:]
    if len(last_id) != _ID_BYTES or not hmac.compare_digest(
        signature, _signature(key, last_id, token_name, filters)
    ):
        raise _invalid()
    return UUID(bytes=last_id)


def _signature(key: bytes, last_id: bytes, token_name: str, filters: dict[str, Any]) -> bytes:
    message = b"runs cursor\0" + last_id + to_json([token_name, filters])
    return hmac.digest(key, message, "sha256")[:_SIGNATURE_BYTES]


def _invalid() -> InvalidCursor:
    return InvalidCursor("Take the cursor as nextCursor gave it, with the same filters.")
