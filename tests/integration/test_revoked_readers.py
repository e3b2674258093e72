"""A reader that waits for a run waits no longer than its token is good."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import pytest

from orchestrator.lifecycle import Role
from tests.acceptance.waiting import eventually
from tests.integration.face import Face
from tests.integration.gathered import WAIT_SECONDS


@pytest.mark.parametrize("column", ["revokedAt", "expiresAt"])
def test_a_waiting_reader_is_sent_away_when_its_token_is_no_good_any_more(
    face: Face, chain: str, column: str
) -> None:
    # What the other case has refused is refused for up to a second.
    eventually(lambda: face.send(Role.VIEWER, "GET", "/v1/whoami").status_code == 200)
    run = face.create(chain)
    places = face.services.run_watch._places
    free = places._value
    with ThreadPoolExecutor(1) as threads:
        waiting = threads.submit(
            face.send, Role.VIEWER, "GET", f"/v1/runs/{run['id']}?waitSeconds=30"
        )
        eventually(lambda: places._value == free - 1)
        face.sql(f"""UPDATE "accessTokens" SET "{column}" = now() WHERE role = 'viewer'""")
        try:
            refused = waiting.result(WAIT_SECONDS / 3)
        finally:
            face.sql(f"""UPDATE "accessTokens" SET "{column}" = NULL WHERE role = 'viewer'""")

    assert refused.status_code == 401
    assert refused.json is not None
    assert refused.json["code"] == "unauthenticated"
    assert run["id"] not in refused.json["detail"]
    assert places._value == free
