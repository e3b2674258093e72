"""Headers that every answer has, whatever it answers.

They are put on once, where an answer leaves for the server: no view can forget them.
"""

from __future__ import annotations

from typing import Final

Headers = list[tuple[str, str]]

# What a run holds is never to be taken for a page, and no address of ours goes elsewhere. (With
# `no-referrer` browsers would send `Origin: null` with our own forms.)
_OF_ALL: Final = [("X-Content-Type-Options", "nosniff"), ("Referrer-Policy", "same-origin")]
# What the API answers is one caller's and of one moment, and a GET of the adapter claims.
_OF_THE_API: Final = [*_OF_ALL, ("Cache-Control", "no-store")]
_API_PATHS: Final = ("/v1/", "/api/")
_CLOSE: Final = ("Connection", "close")


def complete(headers: Headers, path: str, *, close: bool) -> Headers:
    """
    An answer's headers, and those that every answer has.

    Args:
        path: What was asked for.
        close: Whether this is the last answer on its connection.
    """
    whole = headers + (_OF_THE_API if path.startswith(_API_PATHS) else _OF_ALL)
    if close:
        whole.append(_CLOSE)
    return whole
