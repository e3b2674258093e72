"""The call: what is known of the request that is being answered.

Flask's `request`, `g` and `current_app` look for their context at each access, a dozen
times for each claim; to make that context and to look took a third of what a claim needs
outside of its desk. What views, refusals and counters ask for stands here, for every
route; Flask's own contexts are there for those that are not `direct`.
"""

from __future__ import annotations

from contextvars import ContextVar
from typing import TYPE_CHECKING

from werkzeug.routing import Rule

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIEnvironment

    from orchestrator.api.context import Services
    from orchestrator.api.tokens import Caller


class Call:
    """
    One request while it is answered.

    Attributes:
        services: The parts of the process that answers it.
        rule: Its route; None while that is not known, and when there is none.
        request_id: Empty before it was given one.
        caller: Whom its credential stands for; None where none is asked for, and before that
            is known.
    """

    __slots__ = ("caller", "environ", "request_id", "rule", "services")

    def __init__(self, environ: WSGIEnvironment, services: Services) -> None:
        self.environ = environ
        self.services = services
        self.rule: Rule | None = None
        self.request_id = ""
        self.caller: Caller | None = None

    @property
    def method(self) -> str:
        """In capital letters, as routes are matched; how it was sent only a refusal asks."""
        method: str = self.environ["REQUEST_METHOD"]
        return method.upper()

    @property
    def path(self) -> str:
        """What was asked for, below the prefix; bytes that are no UTF-8 are replaced."""
        path: str = self.environ["PATH_INFO"]
        # One slash, like Flask's: whatever came is read as a path.
        return "/" + path.encode("latin-1").decode(errors="replace").lstrip("/")

    def header(self, name: str) -> str | None:
        """A header as it was sent; None when it was not."""
        value: str | None = self.environ.get(f"HTTP_{name.upper().replace('-', '_')}")
        return value


PRESENT: ContextVar[Call] = ContextVar("call")
"""Set while a request is answered, also in what is done in its place (`slow_bodies`)."""

call = PRESENT.get
"""The present request's call; LookupError outside of any."""
