"""Where a form was sent from, as the browser itself says."""

from __future__ import annotations

from ipaddress import ip_address
from urllib.parse import SplitResult, urlsplit

from flask import Request

from orchestrator.pages.refusals import FormRefused


def require_same_origin(asked: Request) -> None:
    """
    Refuse a form that another site's page sent, or that no browser of today did.

    Browsers say so in `Sec-Fetch-Site`, which no page can set; where they do not (a
    plain address that is not this machine's), `Origin` must be the host that was asked.

    Raises:
        FormRefused: It says neither, or another site.
    """
    site = asked.headers.get("Sec-Fetch-Site")
    if site is None:
        if _origin_of(asked).netloc.lower() == asked.headers["Host"].lower():
            return
    elif site == "same-origin":
        return
    raise FormRefused("It was not sent by a page of this service. Open the page here and use that.")


def is_in_clear_text(asked: Request) -> bool:
    """Whether the browser speaks to another machine, and in clear text."""
    origin = _origin_of(asked)
    return origin.scheme == "http" and not _is_loopback(origin.hostname or "")


def needs_secure_cookie(asked: Request) -> bool:
    """
    Whether a cookie must not travel in clear text.

    Always, but where the browser itself says that it speaks to its own machine without
    TLS: not every browser keeps a secure cookie then.
    """
    origin = _origin_of(asked)
    return origin.scheme != "http" or not _is_loopback(origin.hostname or "")


def _origin_of(asked: Request) -> SplitResult:
    # What stands in the address bar; what this server sees is perhaps a proxy's request.
    try:
        return urlsplit(asked.headers.get("Origin", ""))
    except ValueError:
        return urlsplit("")


def _is_loopback(host: str) -> bool:
    if host == "localhost" or host.endswith(".localhost"):
        return True
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False
