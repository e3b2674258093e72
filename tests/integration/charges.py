"""Runs whose mutating step has begun, and what may become of them."""

from __future__ import annotations

from tests.integration.face import Face, Json


def unknown(face: Face, workflow: str) -> Json:
    """A run whose mutating step may or may not have happened."""
    begun = face.begun(workflow)
    result = face.tell((begun, {"status": "unknown", "message": "it hung up"}))[0]
    assert result["status"] == "waiting"
    return begun


def abort_and_expiry(face: Face, dispatch: Json) -> None:
    """An abort that the holder does not live to hear of."""
    face.abort(dispatch["run"]["id"])
    face.expire(dispatch["run"]["id"])
