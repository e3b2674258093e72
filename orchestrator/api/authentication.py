"""Who sent a request, and how often he may: bad credentials count by address, good ones by token.

A good credential is looked at first and always served, whatever others at its address do.
A bad one counts; where too many came from, the next is refused without a further look.
Only a token that was made within the last second may be taken for a bad one there.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

from orchestrator.api.client_address import client_address
from orchestrator.api.context import services
from orchestrator.api.request_budgets import RequestBudgets
from orchestrator.api.tokens import Caller, Form
from orchestrator.errors import Overloaded, RateLimited, Unauthenticated

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIEnvironment

# No secret of 256 bits is guessed at any rate: what is bounded is the work. A fleet of
# hundreds behind one address that starts with an expired token must be told so, each
# process of it: to an executor 429 is an orchestrator that is busy, and it would wait.
FAILURES_PER_SECOND: Final = 100
FAILURES_AT_ONCE: Final = 1_000


def failed_credentials() -> RequestBudgets:
    """How many bad credentials each address may send."""
    return RequestBudgets(FAILURES_PER_SECOND, burst=FAILURES_AT_ONCE)


def authenticate(
    environ: WSGIEnvironment, credential: str | None, form: Form = Form.BEARER
) -> Caller:
    """
    Who sent this request, by the credential that it brought, wherever in it that stood.

    Raises:
        Unauthenticated: It is not good.
        Overloaded: It is not known to be good, and too many like it are looked up.
        RateLimited: Nor is it, and too many bad ones came from its address.
    """
    known = services().tokens.known_caller(credential, form)
    return known or identify(environ, credential, form)


def identify(environ: WSGIEnvironment, credential: str | None, form: Form = Form.BEARER) -> Caller:
    """
    Whose credential this is, when it is not known to be good; a bad one counts.

    Raises:
        Unauthenticated, Overloaded, RateLimited: As `authenticate`.
    """
    with counted_when_bad(environ):
        return services().tokens.caller(credential, form)


@contextmanager
def counted_when_bad(environ: WSGIEnvironment) -> Iterator[None]:
    """
    Judge a credential inside: a bad one counts for the address that it came from.

    Raises:
        RateLimited: Too many bad ones came from there, so that this one is not looked at.
    """
    failed = services().failed_credentials
    address = client_address(environ, services().settings.trusted_proxies)
    if wait_seconds := failed.wait_seconds(address):
        raise RateLimited(
            "Too many bad credentials came from this address.",
            retry_after_seconds=wait_seconds,
            per_second=failed.per_second,
        )
    try:
        yield
    except (Unauthenticated, Overloaded):
        failed.take(address)
        raise


def spend(who: Caller) -> None:
    """
    Take one request from the budget of a caller's token.

    Raises:
        RateLimited: It is used up.
    """
    budgets = services().token_budgets
    if wait_seconds := budgets.take(who.key_id):
        raise RateLimited(
            f"This token may make {budgets.per_second} requests a second here.",
            retry_after_seconds=wait_seconds,
            per_second=budgets.per_second,
        )
