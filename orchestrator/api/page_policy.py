"""What a browser is told about a page beside what every answer says: what it may load and keep.

Nothing comes from elsewhere and nothing stands inline, so that text of a run which got
past the escaping would still not be executed. `data:` is for images alone.
"""

from __future__ import annotations

from typing import Final

from flask import Response

PAGES: Final = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:;"
    " connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)
# The page of the API has neither scripts nor forms.
DOCUMENTS: Final = "default-src 'none'; style-src 'self'; base-uri 'none'; frame-ancestors 'none'"

NEVER_KEPT: Final = "no-store"
KEPT_FOR_GOOD: Final = "public, max-age=31536000, immutable"


def under_policy(answered: Response, policy: str, *, kept: str = NEVER_KEPT) -> Response:
    """
    An answer as that of a page.

    Args:
        policy: Its Content-Security-Policy.
        kept: Its Cache-Control.
    """
    answered.headers["Content-Security-Policy"] = policy
    answered.headers["Cache-Control"] = kept
    return answered
