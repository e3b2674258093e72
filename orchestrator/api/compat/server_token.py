"""Server tokens: what each dispatch brings with it, and comes back before each data access.

One says which step was handed over under which lease, and is signed. The lease is named by
its fence, which no other lease of the run has: a lease's id is only for who renews by it.
"""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from typing import Final

from itsdangerous import BadSignature, Signer
from itsdangerous.encoding import want_bytes

_PURPOSE: Final = b"compat server token"
_FORM: Final = re.compile(r"([1-9][0-9]{0,15})-([0-9]{1,10})-([0-9]{1,19})-([0-9a-f]{1,64})")


@dataclass(frozen=True, slots=True)
class ServerToken:
    """
    What was handed over.

    Attributes:
        number: The run.
        fence: Of the lease.
        key_id: Of the executor's token.
    """

    number: int
    step_index: int
    fence: int
    key_id: str


def sign_server_token(key: str, token: ServerToken) -> str:
    """The token as the executor gets it."""
    text = f"{token.number}-{token.step_index}-{token.fence}-{token.key_id}"
    return _signer(key).sign(text).decode()


def read_server_token(key: str, signed: str) -> ServerToken | None:
    """What was signed; None when it was not signed here."""
    try:
        text = _signer(key).unsign(want_bytes(signed)).decode()
    except (BadSignature, UnicodeError):
        return None
    found = _FORM.fullmatch(text)
    if found is None:
        return None
    number, step_index, fence, key_id = found.groups()
    return ServerToken(int(number), int(step_index), int(fence), key_id)


def _signer(key: str) -> Signer:
    return Signer(key, salt=_PURPOSE, key_derivation="hmac", digest_method=hashlib.sha256)
