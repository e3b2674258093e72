"""The way in."""

from __future__ import annotations

from flask import Blueprint, Response

from orchestrator.api.access import NO_TOKEN
from orchestrator.pages.blueprint import ROOT, page
from orchestrator.pages.template import address_of, go_to

front_door = Blueprint("front_door", __name__)


@front_door.get("/")
@front_door.get(f"{ROOT}/")
@page(NO_TOKEN)
def enter() -> Response:
    """To the pages."""
    return go_to(address_of("show_overview"))
