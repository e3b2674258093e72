"""The contract, for programs (`/openapi.json`) and for people (`/docs`).

The page is rendered here from the same document: no script, nothing fetched
from elsewhere, so that it works behind a closed network and a strict policy.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, cast

from apiflask import APIFlask
from flask import Response, current_app, render_template

from orchestrator.api.access import NO_TOKEN, allow
from orchestrator.api.answer import answer
from orchestrator.api.blueprint import blueprint
from orchestrator.api.context import services
from orchestrator.api.page_policy import DOCUMENTS, under_policy

docs = blueprint("docs")

_STYLE = Path(__file__).parent / "static" / "docs.css"


@docs.get("/openapi.json")
@allow(NO_TOKEN)
@docs.doc(hide=True)
def openapi() -> Response:
    """The OpenAPI 3.1 document."""
    return answer(_document())


@docs.get("/docs")
@allow(NO_TOKEN)
@docs.doc(hide=True)
def page() -> Response:
    """The same document as a page."""
    document = _document()
    html = render_template(
        "docs.html",
        info=document["info"],
        operations=_operations(document),
        schemas=document["components"]["schemas"],
        shared_responses=document["components"]["responses"],
        prefix=services().settings.path_prefix,
    )
    return under_policy(Response(html, mimetype="text/html"), DOCUMENTS)


@docs.get("/docs/style.css")
@allow(NO_TOKEN)
@docs.doc(hide=True)
def style() -> Response:
    """How the page looks."""
    return under_policy(Response(_STYLE.read_bytes(), mimetype="text/css"), DOCUMENTS)


def _document() -> dict[str, Any]:
    # Made once for each process: its routes never change.
    document = cast(APIFlask, current_app)._get_spec("json")  # noqa: SLF001 - the cached `spec`
    return cast(dict[str, Any], document)


def _operations(document: dict[str, Any]) -> list[dict[str, Any]]:
    return [
        {"method": method.upper(), "path": path, **operation}
        for path, operations in sorted(document["paths"].items())
        for method, operation in operations.items()
    ]
