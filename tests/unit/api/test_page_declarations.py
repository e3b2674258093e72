"""Who may see which page, and that no page is served without saying so."""

import pytest
from flask import Blueprint

from orchestrator import app as app_module
from orchestrator.api.access import NO_TOKEN, WATCHERS, allow, roles_of
from orchestrator.app import create_app
from orchestrator.lifecycle import Role
from orchestrator.pages import template
from orchestrator.pages.blueprint import (
    asset,
    form,
    page,
    require_page_declarations,
)
from orchestrator.settings import load

SETTINGS = {"DATABASE_URL": "postgresql://nobody@127.0.0.1:1/none", "DIBS_SECRET_KEY": "k" * 32}
PEOPLE = {Role.VIEWER, Role.OPERATOR}
OPEN = set()

MAY = {
    "GET /": OPEN,
    "GET /ui": PEOPLE,
    "GET /ui/": OPEN,
    "GET /ui/<path:rest>": OPEN,
    "GET /ui/access": PEOPLE,
    "GET /ui/assets/<name>": OPEN,
    "GET /ui/audit": PEOPLE,
    "GET /ui/contention": PEOPLE,
    "GET /ui/executors": PEOPLE,
    "POST /ui/executors/<name>/service": {Role.OPERATOR},
    "GET /ui/queues": PEOPLE,
    "POST /ui/queues/<name>/limits": {Role.OPERATOR},
    "POST /ui/queues/<name>/pause": {Role.OPERATOR},
    "POST /ui/queues/<name>/resume": {Role.OPERATOR},
    "GET /ui/schedules": PEOPLE,
    "POST /ui/schedules/<name>/pause": {Role.OPERATOR},
    "POST /ui/schedules/<name>/resume": {Role.OPERATOR},
    "POST /ui/schedules/<name>/run-now": {Role.OPERATOR},
    "GET /ui/workflows": PEOPLE,
    "GET /ui/workflows/<name>": PEOPLE,
    "GET /ui/runs": PEOPLE,
    "GET /ui/runs/<run_id>": PEOPLE,
    "GET /ui/runs/bulk": {Role.OPERATOR},
    "POST /ui/runs/bulk": {Role.OPERATOR},
    "POST /ui/runs/<run_id>/abort": {Role.OPERATOR},
    "POST /ui/runs/<run_id>/resolve": {Role.OPERATOR},
    "POST /ui/runs/<run_id>/resume": {Role.OPERATOR},
    "POST /ui/runs/<run_id>/retry": {Role.OPERATOR},
    "GET /ui/sign-in": OPEN,
    "POST /ui/sign-in": OPEN,
    "POST /ui/sign-out": PEOPLE,
}


@pytest.fixture
def fresh():
    """An application of the test's own, which has served nothing yet."""
    return create_app(load(SETTINGS))


def test_every_page_declares_who_may_see_it(app):
    declared = {
        f"{method} {rule.rule}": set(roles_of(app.view_functions[rule.endpoint]))
        for rule in app.url_map.iter_rules()
        for method in rule.methods - {"HEAD"}
        if rule.endpoint.split(".")[0] in ("pages", "front_door")
    }

    assert declared == MAY


@pytest.mark.parametrize(
    ("methods", "declare"),
    [
        # Roles alone do not put it under the policy, nor its form behind the checks.
        (["GET"], allow(WATCHERS)),
        (["POST"], page(WATCHERS)),
        (["GET", "POST"], page(WATCHERS)),
        (["GET", "POST"], form(WATCHERS)),
        (["GET"], form(WATCHERS)),
        (["POST"], asset),
        (["PUT"], form(NO_TOKEN)),
        (["DELETE"], page(NO_TOKEN)),
    ],
)
@pytest.mark.parametrize("path", ["/ui/forgotten", "/ui/runs/<run_id>/forgotten"])
def test_a_page_that_is_not_declared_stops_the_service_from_starting(fresh, path, methods, declare):
    def forgotten(**_parts):
        return None

    require_page_declarations(fresh)
    fresh.add_url_rule(path, "forgotten", declare(forgotten), methods=methods)

    with pytest.raises(RuntimeError, match="forgotten"):
        require_page_declarations(fresh)


def test_the_service_does_not_start_with_one(monkeypatch):
    stray = Blueprint("stray", __name__)
    stray.get("/ui/forgotten")(allow(WATCHERS)(lambda: ""))
    monkeypatch.setattr(app_module, "_BLUEPRINTS", (*app_module._BLUEPRINTS, stray))

    with pytest.raises(RuntimeError, match="Routes of pages without a declaration: /ui/forgotten"):
        create_app(load(SETTINGS))


@pytest.mark.parametrize(("method", "declare"), [("GET", page), ("POST", form)])
def test_a_page_that_is_declared_does_not(fresh, method, declare):
    fresh.add_url_rule("/ui/new", "new", declare(WATCHERS)(lambda **_: None), methods=[method])

    require_page_declarations(fresh)


def test_nobody_waits_for_a_template_to_be_compiled(fresh):
    compiled = [name for _, name in template._environment.cache.keys()]  # noqa: SIM118 - no dict

    assert set(template._environment.list_templates()) == set(compiled)
