"""A refund that somebody has to approve, and the two doors by which the answer comes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from werkzeug.test import TestResponse

from tests.integration.face import Face, Json

APPROVAL = {
    "type": "object",
    "required": ["approved"],
    "properties": {"approved": {"type": "boolean"}, "by": {"type": "string", "minLength": 1}},
    "additionalProperties": False,
}
Door = Callable[[Face, str, Any], TestResponse]


def at_approval(face: Face, approval: str, **waiting_for: Any) -> Json:
    """A run that waits at its second step; the dispatch under which it asked."""
    dispatch: Json = face.succeed(face.dispatch(approval), "checked")["next"]
    assert face.await_input(dispatch, **waiting_for)["status"] == "waiting"
    return dispatch


def by_resume(face: Face, run_id: str, value: Any) -> TestResponse:
    """A client brings the input."""
    return face.resume(run_id, value)


def by_claim(face: Face, run_id: str, value: Any) -> TestResponse:
    """An executor that was triggered brings the input, and takes the run."""
    return face.claim_run(run_id, input=value)


EITHER_DOOR = pytest.mark.parametrize("door", [by_resume, by_claim])
