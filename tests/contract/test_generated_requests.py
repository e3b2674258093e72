"""Whatever is sent, the answer is one that the served document describes.

`DIBS_TEST_EXAMPLES` asks for more requests at random (`make test-api`).
"""

import os
from collections.abc import Mapping
from typing import Any
from zlib import crc32

import pytest
from schemathesis import Case
from schemathesis.core.parameters import ParameterLocation

from orchestrator.api.access import ON_BEHALF_OF
from orchestrator.lifecycle import Role
from tests.acceptance.client import Client, Json, outcome_of
from tests.acceptance.stage import Stage
from tests.contract.generated import AT_BOUNDARIES, AT_RANDOM, Generator, is_forbidden
from tests.contract.test_roles import ROLES, ROUTES

EXAMPLES = int(os.environ.get("DIBS_TEST_EXAMPLES", "4"))
# Each is sent by everybody.
EXAMPLES_OF_ANYBODY = max(2, EXAMPLES // 4)
WAITS = {str(seconds) for seconds in range(1, 31)}
# Who speaks where several may.
FIRST = (Role.EXECUTOR, Role.OPERATOR)
# What became of the runs that requests find; beside them some are pending, some leased.
OUTCOMES: tuple[Json, ...] = (
    {"status": "awaiting-input", "waitingFor": {}},
    {"status": "unknown", "message": "cut off"},
    {"status": "error", "message": "broken", "retryable": False},
    {"status": "success", "output": [1]},
)

Known = Mapping[str, list[str]]


@pytest.fixture(scope="module")
def thorough(stage: Stage, document: Json) -> Generator:
    """Makes requests of the real server."""
    return Generator(document, stage.orchestrator.url, examples=EXAMPLES)


@pytest.fixture(scope="module")
def brief(stage: Stage, document: Json) -> Generator:
    """Makes fewer of them."""
    return Generator(document, stage.orchestrator.url, examples=EXAMPLES_OF_ANYBODY)


@pytest.fixture
def known(web: Client, ops: Client, holder: Client, queue: str) -> Known:
    """What there is for requests to find, by how the path begins that leads to it."""
    name = f"known-{queue}"
    ops.ask("PUT", f"/v1/workflows/{name}", {"steps": [{"name": "ask", "type": "ask"}]})
    ops.ask("PUT", f"/v1/schedules/{name}", {"workflow": name, "cron": "0 0 1 1 *"})
    session = {"session": holder.claim_body(queue)["session"]}
    executor = holder.ask("PUT", f"/v1/executors/{name}", session)["name"]
    runs = web.create_many(queue, len(OUTCOMES) + 4, name)
    leased = holder.claim(queue, limit=len(OUTCOMES) + 2)
    holder.report(*map(outcome_of, leased, OUTCOMES))
    return {"/v1/runs/": runs, "/v1/executors/{name}": [executor], "": [name]}


@pytest.mark.parametrize(("method", "route"), ROUTES)
def test_who_may_gets_what_the_document_says_whatever_he_sends(
    thorough: Generator, stage: Stage, known: Known, method: str, route: str
) -> None:
    def prepare(case: Case) -> None:
        find_what_there_is(case, known)
        speak_for(case, stage.tokens[Role.CLIENT])
        wait_for_nothing(case)

    who = next((stage.tokens[role] for role in FIRST if role in ROLES[method, route]), None)
    thorough.try_operation(method, route, AT_BOUNDARIES, AT_RANDOM, tokens=[who], prepare=prepare)


@pytest.mark.parametrize(("method", "route"), ROUTES)
def test_anybody_gets_what_the_document_says_whatever_he_sends(
    brief: Generator, stage: Stage, method: str, route: str
) -> None:
    anybody = [None, "dibs_0123456789abcdef_nobodys", *stage.tokens.values()]

    brief.try_operation(method, route, AT_RANDOM, tokens=anybody, prepare=wait_for_nothing)


def find_what_there_is(case: Case, known: Known) -> None:
    """Let a path that the document allows lead to something: nothing has a made-up name."""
    names = case.path_parameters.keys() - {"index"}
    if names and not is_forbidden(case, ParameterLocation.PATH):
        found = next(found for prefix, found in known.items() if case.path.startswith(prefix))
        # By what is sent, so that it is the same when it is sent again.
        case.path_parameters[names.pop()] = found[crc32(repr(case.body).encode()) % len(found)]


def speak_for(case: Case, token: str) -> None:
    """Let a header that names somebody name one there is."""
    if ON_BEHALF_OF in case.headers and not is_forbidden(case, ParameterLocation.HEADER):
        case.headers[ON_BEHALF_OF] = f"Bearer {token}"


def wait_for_nothing(case: Case) -> None:
    """Ask for what there is at once: waiting is tested elsewhere."""
    for place in (case.query, case.body):
        wait: Any = place.get("waitSeconds") if isinstance(place, dict) else None
        if str(wait) in WAITS:
            place["waitSeconds"] = type(wait)(0)
