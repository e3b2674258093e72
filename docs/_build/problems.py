"""Every refusal: its code, its status, and what it means."""

from __future__ import annotations

from docs._build.markdown import MADE, table
from orchestrator import errors
from orchestrator.api import refusals
from orchestrator.api.problems import status_of
from orchestrator.errors import DibsError


_OF_THE_API = {errors.__name__, refusals.__name__}


def page() -> str:
    """The page."""
    rows = sorted(
        (
            f"{status_of(kind)}",
            f'<a id="{kind.code}"></a>`{kind.code}`',
            (kind.__doc__ or "").strip().partition("\n")[0],
        )
        for kind in _kinds(DibsError)
        if "code" in vars(kind) and kind.__module__ in _OF_THE_API
    )
    return f"""# Problems

{MADE}

Every refusal is `application/problem+json` with a stable `code`, and each code has one status. In a
batch a single item's refusal stands in its result instead, with the same code.

```json
{{"type": "…/problems/run-held", "title": "The run is held", "status": 409, "code": "run-held",
 "detail": "…", "instance": "/v1/runs/01a2…/claim", "requestId": "…"}}
```

{table(["status", "code", "means"], rows)}

`outcome-unknown`, `unavailable`, `overloaded` and `rate-limited` come with `Retry-After`: send the same
request again, with the same key. Everything else stays refused however often it is sent, until
something changes.
"""


def _kinds(kind: type[DibsError]) -> list[type[DibsError]]:
    return [found for child in kind.__subclasses__() for found in (child, *_kinds(child))]
