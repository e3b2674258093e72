"""What is asked of one process, how it is answered and in what time: counted for `/metrics`.

By route, never by path: whatever clients make up is one route, `none`. A request is
counted once, when its answer is made; one that is cut off while it is being read has two
answers, and the first counts.
"""

from __future__ import annotations

import re
import time
from typing import TYPE_CHECKING, Final

from flask import Flask

from orchestrator.api.call import Call
from orchestrator.api.problems import CODE, problem_codes
from orchestrator.metrics.catalogue import STATUSES, RequestMetrics, RouteLabels
from orchestrator.metrics.meter import Meter

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIEnvironment

_BEGAN: Final = "dibs.began"
_NO_ROUTE: Final = RouteLabels("ANY", "none", "other")
_PARAMETER: Final = re.compile(r"<(?:[^:<>]*:)?([^<>]*)>")
# Whose durations are told by themselves; of all other routes those that read, those that
# act, and those of people's pages together.
_KINDS: Final = {
    "runs.create_run": "create",
    "runs.create_runs": "create-batch",
    "claims.claim": "claim",
    "claims.claim_by_id": "claim-by-id",
    "reports.report": "report",
    "leases.renew": "renew",
    "leases.release": "release",
    "leases.start_step": "step-start",
}
_PAGES: Final = ("pages", "front_door")


class Traffic:
    """One process's traffic."""

    def __init__(self, app: Flask, meter: Meter) -> None:
        """
        Args:
            app: With all its routes.
        """
        told = {
            (rule.endpoint, method): RouteLabels(
                method, _PARAMETER.sub(r"{\1}", rule.rule), _kind(rule.endpoint, method)
            )
            for rule in app.url_map.iter_rules()
            for method in sorted((rule.methods or set()) - {"HEAD"})
        }
        distinct = dict.fromkeys([_NO_ROUTE, *told.values()])
        counted = RequestMetrics(meter, routes=distinct, codes=problem_codes())
        self._counters = {
            asked: (
                [counted.requests[labels.method, labels.route, status] for status in STATUSES],
                counted.seconds[(labels.kind,)],
            )
            for asked, labels in [((None, ""), _NO_ROUTE), *told.items()]
        }
        self._problems = counted.problems

    def begin(self, environ: WSGIEnvironment) -> None:
        """A request has come."""
        environ[_BEGAN] = time.perf_counter()

    def end(self, present: Call, status: int) -> None:
        """Its answer is made; its first one counts."""
        began = present.environ.pop(_BEGAN, None)
        if began is None:
            return
        method = "GET" if present.method == "HEAD" else present.method
        endpoint = present.rule.endpoint if present.rule else None
        by_status, seconds = self._counters.get((endpoint, method)) or self._counters[None, ""]
        by_status[status // 100 - 2].add()
        seconds.note(time.perf_counter() - began)
        if (code := present.environ.get(CODE)) is not None:
            self.note_problem(code)

    def note_problem(self, code: str) -> None:
        """A problem was answered."""
        self._problems[(code,)].add()


def _kind(endpoint: str, method: str) -> str:
    if endpoint.split(".")[0] in _PAGES:
        return "page"
    return _KINDS.get(endpoint) or ("read" if method == "GET" else "act")
