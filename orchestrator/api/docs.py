"""The contract, for programs (`/openapi.json`) and for people (`/docs`).

The page is rendered here from the same document: no script, nothing fetched
from elsewhere, so that it works behind a closed network and a strict policy.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

from apiflask import APIFlask
from flask import Response, current_app, render_template

from orchestrator.api.access import NO_TOKEN, allow
from orchestrator.api.answer import to_json
from orchestrator.api.blueprint import blueprint
from orchestrator.api.context import services
from orchestrator.api.page_policy import DOCUMENTS, under_policy

docs = blueprint("docs")

_MADE = "dibs-documents"
_STYLE = Path(__file__).parent / "static" / "docs.css"


@docs.get("/openapi.json")
@allow(NO_TOKEN)
@docs.doc(hide=True)
def openapi() -> Response:
    """The OpenAPI 3.1 document."""
    return Response(
        _made_once("openapi", lambda: to_json(_document())), content_type="application/json"
    )


@docs.get("/docs")
@allow(NO_TOKEN)
@docs.doc(hide=True)
def page() -> Response:
    """The same document as a page."""
    return under_policy(
        Response(_made_once("page", _rendered), content_type="text/html; charset=utf-8"), DOCUMENTS
    )


@docs.get("/docs/style.css")
@allow(NO_TOKEN)
@docs.doc(hide=True)
def style() -> Response:
    """How the page looks."""
    content = _made_once("style", _STYLE.read_bytes)
    return under_policy(Response(content, content_type="text/css; charset=utf-8"), DOCUMENTS)


def _rendered() -> bytes:
    document = _document()
    html = render_template(
        "docs.html",
        info=document["info"],
        operations=_operations(document),
        schemas=document["components"]["schemas"],
        shared_responses=document["components"]["responses"],
        prefix=services().settings.path_prefix,
    )
    return html.encode()


def _made_once(name: str, make: Callable[[], bytes]) -> bytes:
    """What never changes in a process: anybody may ask for it, as often as he likes."""
    made: dict[str, bytes] = current_app.extensions.setdefault(_MADE, {})
    if name not in made:
        made[name] = make()
    return made[name]


def _document() -> dict[str, Any]:
    document = cast(APIFlask, current_app)._get_spec("json")  # noqa: SLF001 - the cached `spec`
    return cast(dict[str, Any], document)


def _operations(document: dict[str, Any]) -> list[dict[str, Any]]:
    return [
        {"method": method.upper(), "path": path, **operation}
        for path, operations in sorted(document["paths"].items())
        for method, operation in operations.items()
    ]
