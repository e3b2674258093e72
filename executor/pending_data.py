"""A trigger's body: `{"pendingData": …}`, read strictly and passed on as it was written."""

import json
import re
from typing import Any, NoReturn

import orjson
from werkzeug.http import parse_options_header
from werkzeug.wrappers import Request

from executor.trigger import TriggerRefusedError

DEEPEST_BODY = 32

_JSON = "application/json"
_ONLY_MEMBER = re.compile(rb'\s*\{\s*"(?:[^"\\]|\\.)*+"\s*:(.*)\}\s*', re.DOTALL)


def read_pending_data(request: Request) -> dict[str, Any]:
    """
    Read a trigger's body as the claim's `input`; no body is no input.

    Whether the value may be an input is the orchestrator's to say. It gets the
    very text, in which no number has lost a digit.

    Returns:
        ``{"input": …}``, or nothing.

    Raises:
        TriggerRefusedError: 400, 415 or 422.
    """
    text = request.get_data(cache=False)
    if request.headers.get("Content-Encoding", "identity").lower() != "identity":
        _refuse(415, "unsupported_encoding", "Send the body as it is, without Content-Encoding.")
    if not text:
        return {}
    media_type, parameters = parse_options_header(request.headers.get("Content-Type"))
    if media_type.lower() != _JSON or parameters.get("charset", "utf-8").lower() != "utf-8":
        _refuse(415, "unsupported_media_type", f"Send the body with Content-Type: {_JSON}.")
    body = _read(text)
    if not isinstance(body, dict) or not body.keys() <= {"pendingData"}:
        _refuse(422, "validation", 'The body must be {"pendingData": …} or {}.')
    member = _ONLY_MEMBER.fullmatch(text) if body else None
    return {"input": orjson.Fragment(member[1])} if member else {}


def _read(text: bytes) -> Any:
    """One JSON text: UTF-8, no NaN, no half of a surrogate pair, no name twice, not deep."""
    try:
        body = orjson.loads(text)
    except orjson.JSONDecodeError as error:
        _refuse(400, "malformed_json", f"The body is not JSON: {error}.")
    _check_depth(body)
    # Of a name that is there twice orjson takes the last; the slower reader tells.
    json.loads(text, object_pairs_hook=_check_names)
    return body


def _check_names(members: list[tuple[str, Any]]) -> None:
    if len({name for name, _ in members}) != len(members):
        _refuse(400, "malformed_json", "The body has a member more than once.")


def _check_depth(body: Any) -> None:
    level: list[Any] = [[body]]
    for _ in range(1 + DEEPEST_BODY):
        level = [
            child
            for parent in level
            for child in (parent.values() if isinstance(parent, dict) else parent)
            if isinstance(child, dict | list)
        ]
        if not level:
            return
    _refuse(400, "json_too_complex", "The body is nested too deeply.")


def _refuse(status: int, code: str, message: str) -> NoReturn:
    raise TriggerRefusedError(status, code, message)
