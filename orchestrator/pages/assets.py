"""The files that pages are made of, each under a name that changes with what is in it."""

from __future__ import annotations

import gzip
import hashlib
import mimetypes
from pathlib import Path
from typing import Final

from flask import Response, request

from orchestrator.api.answer import WholeAnswer
from orchestrator.errors import NotFound
from orchestrator.pages.blueprint import asset, pages

_FOLDER: Final = Path(__file__).parent / "static"
_SHOWN_OF_A_HASH: Final = 12


def _hashed(file: Path) -> str:
    digest = hashlib.sha256(file.read_bytes()).hexdigest()[:_SHOWN_OF_A_HASH]
    return f"{file.stem}.{digest}{file.suffix}"


_NAMES: Final = {file.name: _hashed(file) for file in sorted(_FOLDER.iterdir())}
_FILES: Final = {
    _NAMES[file.name]: (file.read_bytes(), mimetypes.guess_type(file.name)[0])
    for file in sorted(_FOLDER.iterdir())
}
# Pages themselves are not compressed here: next to what somebody else may have them repeat
# stands what a form is sent with, and a length tells of both (BREACH).
_COMPRESSED: Final = {
    name: gzip.compress(content, mtime=0) for name, (content, _) in _FILES.items()
}


def asset_name(file: str) -> str:
    """The name under which a file of `static/` is served now."""
    return _NAMES[file]


@pages.get("/assets/<name>")
@asset
def show_asset(name: str) -> Response:
    """A file of `static/`. Browsers keep it for good: another content has another name."""
    if name not in _FILES:
        raise NotFound("There is no such file.")
    content, kind = _FILES[name]
    given = WholeAnswer(content, mimetype=kind)
    if request.accept_encodings["gzip"] > 0:
        given.data = _COMPRESSED[name]
        given.headers["Content-Encoding"] = "gzip"
    given.headers["Vary"] = "Accept-Encoding"
    return given
