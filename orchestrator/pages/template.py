"""Templates: every value is escaped, and every character of it can be seen.

Both are the environment's doing, not the templates': none can forget them.
"""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from flask import Response, g, request, url_for
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from orchestrator.api.answer import WholeAnswer, rfc3339
from orchestrator.api.context import services
from orchestrator.pages.assets import asset_name
from orchestrator.pages.blueprint import pages
from orchestrator.pages.form import TOKEN_FIELD, form_token
from orchestrator.pages.session import current_session
from orchestrator.store.records import text_of
from orchestrator.visible_text import visible

# Browsers break no line at these in text, and `<pre>` needs them.
_KEPT: Final = "\n\t"


def address_of(view: str, **parts: Any) -> str:
    """Where a page is, for a browser: below the prefix that a proxy mounts the service at."""
    return services().settings.path_prefix + url_for(f"{pages.name}.{view}", **parts)


def screen(template: str, status: int = 200, **values: Any) -> Response:
    """A page, rendered."""
    who = g.get("caller")
    html = _environment.get_template(template).render(
        who=who,
        form_token=form_token(current_session()) if who else None,
        status=status,
        here=(request.endpoint or "").rpartition(".")[2],
        **values,
    )
    return WholeAnswer(html, status, content_type="text/html; charset=utf-8")


def go_to(address: str) -> Response:
    """Send the browser to another page of ours, to read it."""
    return WholeAnswer(b"", 303, {"Location": address}, content_type="text/plain")


def _shown(value: Any) -> Any:
    if value is None:
        return ""
    return value if isinstance(value, Markup) else visible(str(value), kept=_KEPT)


def _clock(at: datetime) -> str:
    return f"{at.astimezone(UTC):%Y-%m-%d %H:%M:%S}"


_environment: Final = Environment(
    loader=FileSystemLoader(Path(__file__).parent / "templates"),
    autoescape=True,
    undefined=StrictUndefined,
    finalize=_shown,
    auto_reload=False,
    trim_blocks=True,
    lstrip_blocks=True,
)
_environment.globals |= {
    "address_of": address_of,
    "asset_name": asset_name,
    "TOKEN_FIELD": TOKEN_FIELD,
}
_environment.filters |= {"rfc3339": rfc3339, "clock": _clock, "json": text_of}
