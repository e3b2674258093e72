"""The service below a path of another's: by a proxy that strips it, and by one that does not."""

import hashlib
import re
from dataclasses import replace

import pytest

from orchestrator.api.context import EXTENSION, services_of
from orchestrator.api.tokens import Caller, StoredToken, Tokens
from orchestrator.app import create_app
from orchestrator.lifecycle import Role
from orchestrator.settings import SettingsError, load

SETTINGS = {"DATABASE_URL": "postgresql://nobody@127.0.0.1:1/none", "DIBS_SECRET_KEY": "k" * 32}
BROWSER = {"Sec-Fetch-Site": "same-origin", "Origin": "https://example.com"}
VIEWER = StoredToken(
    Caller("a", "viewer", Role.VIEWER, ("*",), None), hashlib.sha256(b"b").digest()
)


@pytest.fixture(scope="module")
def service():
    made = create_app(load(SETTINGS | {"DIBS_PATH_PREFIX": "/ops/dibs"}))
    tokens = Tokens(lambda: {"a": VIEWER})
    made.extensions[EXTENSION] = replace(services_of(made), tokens=tokens)
    return made


@pytest.fixture
def mounted(service):
    """A browser in which nobody has signed in."""
    return service.test_client()


@pytest.mark.parametrize("path", ["/", "/ui", "/ui/sign-in", "/docs", "/docs/style.css",
                                  "/healthz", "/openapi.json", "/v1/whoami"])  # fmt: skip
def test_every_route_is_there_with_the_prefix_and_without(mounted, path):
    with_prefix, without = mounted.get(f"/ops/dibs{path}"), mounted.get(path)

    assert with_prefix.status_code == without.status_code
    assert with_prefix.status_code in (200, 303, 401)


def test_the_prefix_itself_is_the_front_door(mounted):
    answer = mounted.get("/ops/dibs")

    assert (answer.status_code, answer.headers["Location"]) == (303, "/ops/dibs/ui")


@pytest.mark.parametrize("path", ["/ops", "/ops/", "/ops/dibsx/ui", "/OPS/dibs/ui", "/dibs/ui",
                                  "/ops/dibs/ops/dibs/ui", "/ops/dibs//ui"])  # fmt: skip
def test_no_other_path_is(mounted, path):
    assert mounted.get(path).status_code == 404


@pytest.mark.parametrize("path", ["/ui", "/ops/dibs/ui", "/docs", "/ops/dibs/docs"])
def test_every_link_begins_with_the_prefix(mounted, path):
    links = re.findall(r'(?:href|src|action)="([^"#]*)', mounted.get(path).text)

    assert links
    assert [link for link in links if link and not link.startswith("/ops/dibs/")] == []


@pytest.mark.parametrize("path", ["/ui/sign-in", "/ops/dibs/ui/sign-in"])
def test_signing_in_leads_below_the_prefix_and_the_cookie_stays_there(mounted, path):
    answer = mounted.post(f"{path}?next=/ui/access", data={"token": "dibs_a_b"}, headers=BROWSER)

    assert (answer.status_code, answer.headers["Location"]) == (303, "/ops/dibs/ui/access")
    assert "Path=/ops/dibs/ui" in answer.headers["Set-Cookie"].split("; ")


@pytest.mark.parametrize("path", ["/ui/access", "/ops/dibs/ui/access"])
def test_the_way_in_leads_back_to_what_was_asked_for(mounted, path):
    page = mounted.get(path).text

    assert 'action="/ops/dibs/ui/sign-in?next=/ui/access"' in page


@pytest.mark.parametrize("prefix", ["/dibs", "/a/b", "/ops-1/di.bs", "/uix"])
def test_a_prefix_is_a_path(prefix):
    assert load(SETTINGS | {"DIBS_PATH_PREFIX": prefix}).path_prefix == prefix


@pytest.mark.parametrize(
    "prefix",
    ["dibs", "/", "/dibs/", "//evil.example", "/a//b", "/..", "/a/../b", "/a b", "/é", "/a?b",
     "/v1", "/ui/x", "/docs", "https://example.com/dibs"],
)  # fmt: skip
def test_a_prefix_that_would_lead_astray_is_refused(prefix):
    with pytest.raises(SettingsError, match="DIBS_PATH_PREFIX: must"):
        load(SETTINGS | {"DIBS_PATH_PREFIX": prefix})
