"""Processes that start."""

from __future__ import annotations

from typing import Final

from flask import Response, request

from orchestrator.api.access import EXECUTORS, allow
from orchestrator.api.compat.blueprint import ROOT, Sent, compat, read
from orchestrator.api.compat.callers import asker, by_secret
from orchestrator.api.context import services
from orchestrator.desk.compat_executors import Arrival, arrive

_MOST_CHARACTERS: Final = 100


class Metadata(Sent):
    """What a process says of itself."""

    version: str | None = None


@compat.post(f"{ROOT}/executor-metadata")
@allow(EXECUTORS, told_by=by_secret)
def executor_metadata() -> Response:
    """A process has started: what the one before it held is not executed any more."""
    metadata, _ = read(Metadata)
    version = metadata.version and metadata.version[:_MOST_CHARACTERS]
    arrive(services().database, asker(request), Arrival.STARTED, version=version)
    return Response(status=204)
