"""Bad credentials over a socket: all alike, and bad on every orchestrator within a second."""

import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from itertools import count
from typing import Any

import httpx2
import psycopg
import pytest

from orchestrator.lifecycle import Role
from tests.acceptance.client import Client, Json
from tests.acceptance.processes import Orchestrator
from tests.acceptance.stage import Stage, make_token
from tests.acceptance.waiting import PATIENCE_SECONDS

names = (f"short-lived-{number}" for number in count(1))
Owner = psycopg.Connection[Any]


@pytest.fixture(scope="module")
def urls(stage: Stage, tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[str]]:
    """Two orchestrators on one database."""
    directory = tmp_path_factory.mktemp("second")
    second = Orchestrator("second", stage.database.service_url, directory)
    try:
        second.start()
        yield [stage.orchestrator.url, second.url]
    finally:
        second.end()


def refusal_of(answer: httpx2.Response) -> tuple[int, Json, dict[str, str]]:
    """A refusal without what is different in each."""
    own = ("x-request-id", "date")
    headers = {name: value for name, value in answer.headers.items() if name not in own}
    return answer.status_code, answer.json() | {"requestId": None}, headers


def whoami(url: str, token: str) -> httpx2.Response:
    with closing(Client(url, token)) as client:
        return client.send("GET", "/v1/whoami")


def revoke(owner: Owner, name: str) -> float:
    owner.execute(
        'UPDATE "accessTokens" SET "revokedAt" = clock_timestamp() WHERE name = %s', [name]
    )
    return time.monotonic()


def let_expire(owner: Owner, name: str) -> float:
    owner.execute(
        'UPDATE "accessTokens" SET "expiresAt" = clock_timestamp() + interval \'1 second\''
        " WHERE name = %s",
        [name],
    )
    return time.monotonic() + 1


@pytest.mark.parametrize("end", [revoke, let_expire])
def test_a_token_that_is_over_is_bad_within_a_second_on_every_orchestrator(
    stage: Stage, urls: list[str], owner: Owner, end: Callable[[Owner, str], float]
) -> None:
    """And is then told from an unknown one by nothing."""
    name = next(names)
    token = make_token(stage.database, name, Role.CLIENT)
    with ExitStack() as open_clients:
        clients = [open_clients.enter_context(closing(Client(url, token))) for url in urls]
        for client in clients:
            assert client.send("GET", "/v1/whoami").is_success
        over_at = end(owner, name)
        last_good = [served_until(client) for client in clients]
        refusals = [refusal_of(client.send("GET", "/v1/whoami")) for client in clients]

    assert max(last_good) < over_at + 1
    unknown = refusal_of(whoami(urls[0], "dibs_0123456789abcdef_unknown"))
    assert refusals == [unknown, unknown]
    assert unknown[0] == 401


def served_until(client: Client) -> float:
    """Ask until it is refused: when the last request that was served was sent."""
    served_at, give_up_at = 0.0, time.monotonic() + PATIENCE_SECONDS
    while time.monotonic() < give_up_at:
        sent_at = time.monotonic()
        if not client.send("GET", "/v1/whoami").is_success:
            return served_at
        served_at = sent_at
    raise AssertionError("it is never refused")


def test_a_token_is_good_at_once_everywhere_also_when_its_id_was_tried_before(
    stage: Stage, urls: list[str], owner: Owner
) -> None:
    name = next(names)
    token = make_token(stage.database, name, Role.CLIENT)
    owner.execute('CREATE TEMP TABLE kept AS SELECT * FROM "accessTokens" WHERE name = %s', [name])
    owner.execute('DELETE FROM "accessTokens" WHERE name = %s', [name])
    refused = [whoami(url, token).status_code for url in urls]
    owner.execute('INSERT INTO "accessTokens" SELECT * FROM kept')
    served = [whoami(url, token).status_code for url in urls]

    assert (refused, served) == ([401, 401], [200, 200])


def test_an_unknown_id_a_wrong_secret_and_a_revoked_token_are_one_refusal(
    stage: Stage, urls: list[str], owner: Owner
) -> None:
    name = next(names)
    revoked = make_token(stage.database, name, Role.CLIENT)
    revoke(owner, name)
    wrong = stage.tokens[Role.CLIENT][:-4] + "0000"
    bad = [revoked, wrong, "dibs_0123456789abcdef_unknown", "nonsense"]

    refusals = [refusal_of(whoami(urls[0], token)) for token in bad]

    assert refusals == [refusals[0]] * 4
    assert (refusals[0][0], refusals[0][1]["code"]) == (401, "unauthenticated")
