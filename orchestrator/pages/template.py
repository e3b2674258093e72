"""Templates: every value is escaped, and every character of it can be seen.

Both are the environment's doing, not the templates': none can forget them. Only what a form
sends back stands in it `exactly` as it was sent.

What a page shows of the moment stands in a template of its own, of the same name below
`live/`. The browser asks for it again and again (`static/live.js`): then it alone is
rendered, and sent when it has changed. So nothing may stand in it that changes by itself:
an age is written as the moment it counts from, and counted by the browser.
"""

from __future__ import annotations

import hashlib
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final
from uuid import UUID, uuid5

from flask import Response, request, url_for
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup, escape

from orchestrator.api.answer import WholeAnswer, rfc3339
from orchestrator.api.call import call
from orchestrator.api.context import services
from orchestrator.pages.asked import asked_address
from orchestrator.pages.assets import asset_name
from orchestrator.pages.blueprint import pages
from orchestrator.pages.form import TOKEN_FIELD, form_token
from orchestrator.pages.navigation import NAVIGATION
from orchestrator.pages.session import current_session
from orchestrator.store.records import text_of
from orchestrator.visible_text import visible

LIVE_HEADER: Final = "HX-Request"
_HTML: Final = "text/html; charset=utf-8"
_SHOWN_OF_A_HASH: Final = 20
_FOLDER: Final = Path(__file__).parent / "templates"
_LIVE_PARTS: Final = frozenset(f"live/{part.name}" for part in (_FOLDER / "live").iterdir())
_KEYS: Final = UUID("5e0d1c2a-3f4b-5c6d-8e7f-9a0b1c2d3e4f")
# Browsers break no line at these in text, and `<pre>` needs them.
_KEPT: Final = "\n\t"


def address_of(view: str, **parts: Any) -> str:
    """Where a page is, for a browser: below the prefix that a proxy mounts the service at."""
    return services().settings.path_prefix + url_for(f"{pages.name}.{view}", **parts)


def compile_templates() -> None:
    """Do now what would be done for the first who looks at each page: 0.2 s for all of them."""
    for template in _environment.list_templates():
        _environment.get_template(template)


def screen(
    template: str, status: int = 200, *, looked_at: str | None = None, **values: Any
) -> Response:
    """
    A page, rendered; of one that is looked at already, what has changed since.

    Args:
        looked_at: Where the page is, when it is the answer to a form: what is of the moment
            is asked for there.
    """
    who = call().caller
    values |= {
        "who": who,
        "form_token": form_token(current_session()) if who else None,
        "status": status,
        "here": (request.endpoint or "").rpartition(".")[2],
        "pages": NAVIGATION if who else (),
        "now": datetime.now(UTC),
        "looked_at": looked_at or services().settings.path_prefix + asked_address(),
    }
    live = _live_part(template, values)
    tag = hashlib.sha256(live.encode()).hexdigest()[:_SHOWN_OF_A_HASH] if live else None
    if status == 200 and live is not None and request.headers.get(LIVE_HEADER) == "true":
        if request.headers.get("If-None-Match") == f'"{tag}"':
            answered: Response = WholeAnswer(b"", 304)
        else:
            answered = WholeAnswer(live, content_type=_HTML)
        answered.headers["ETag"] = f'"{tag}"'
        return answered
    # Rendered by this environment: what needed escaping is escaped.
    markup = None if live is None else Markup(live)  # noqa: S704
    values |= {"live": markup, "live_tag": tag}
    html = _environment.get_template(template).render(values)
    return WholeAnswer(html, status, content_type=_HTML)


def key_of_form(act: str, seen: str) -> UUID:
    """
    The key under which a form is done once, however often it is sent.

    Args:
        seen: What the form was made for: the run and its version, mostly. The same page
            shown again has the same key, so that nothing changes in it by itself.
    """
    return uuid5(_KEYS, f"{current_session().id} {act} {seen}")


def _live_part(template: str, values: dict[str, Any]) -> str | None:
    part = f"live/{template}"
    return _environment.get_template(part).render(values) if part in _LIVE_PARTS else None


def go_to(address: str) -> Response:
    """Send the browser to another page of ours, to read it."""
    return WholeAnswer(b"", 303, {"Location": address}, content_type="text/plain")


def _shown(value: Any) -> Any:
    if value is None:
        return ""
    return value if isinstance(value, Markup) else visible(str(value), kept=_KEPT)


def _exactly(value: str) -> Markup:
    """A value that a form sends back: spelled out it would be another one. It is escaped."""
    return escape(value)


def _clock(at: datetime) -> str:
    return f"{at.astimezone(UTC):%Y-%m-%d %H:%M:%S}"


_environment: Final = Environment(
    loader=FileSystemLoader(_FOLDER),
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
_environment.filters |= {
    "rfc3339": rfc3339,
    "clock": _clock,
    "json": text_of,
    "exactly": _exactly,
}
