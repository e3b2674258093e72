"""Whatever is sent, the answer is one that the served document describes.

`DIBS_TEST_EXAMPLES` asks for more requests at random (`make test-api`).
"""

import os
from collections.abc import Callable
from zlib import crc32

import pytest
from schemathesis import Case
from schemathesis.core.parameters import ParameterLocation

from orchestrator.lifecycle import Role
from tests.acceptance.client import Client, Json
from tests.acceptance.stage import Stage
from tests.contract.generated import AT_BOUNDARIES, AT_RANDOM, Generator
from tests.contract.test_roles import ROLES, ROUTES

EXAMPLES = int(os.environ.get("DIBS_TEST_EXAMPLES", "4"))
EXAMPLES_OF_ANYBODY = max(2, EXAMPLES // 10)
RUNS = 30
KNOWN = "known"
QUEUE = "default"

GeneratorOf = Callable[[Role | None], Generator]


@pytest.fixture
def generator_of(stage: Stage, document: Json) -> GeneratorOf:
    """Makes requests of a role, or of somebody without a token."""
    return lambda role: Generator(
        document, stage.orchestrator.url, None if role is None else stage.tokens[role]
    )


@pytest.fixture(scope="module")
def known(callers: dict[Role, Client]) -> dict[str, list[str]]:
    """What there is for requests to find, by how the path begins that leads to it."""
    web, ops, holder = (callers[role] for role in (Role.CLIENT, Role.OPERATOR, Role.EXECUTOR))
    step = {"name": "ask", "type": "ask", "waits": True}
    ops.ask("PUT", f"/v1/workflows/{KNOWN}", {"steps": [step]})
    ops.ask("PUT", f"/v1/schedules/{KNOWN}", {"workflow": KNOWN, "cron": "0 0 1 1 *"})
    session = {"session": holder.claim_body(QUEUE)["session"]}
    executor = holder.ask("PUT", f"/v1/executors/{KNOWN}", session)["name"]
    runs = web.create_many(QUEUE, RUNS, KNOWN)
    holder.claim(QUEUE, limit=RUNS // 2)
    return {"/v1/runs/": runs, "/v1/executors/{name}": [executor], "": [KNOWN]}


@pytest.mark.parametrize(("method", "route"), ROUTES)
def test_who_may_gets_what_the_document_says_whatever_he_sends(
    generator_of: GeneratorOf, known: dict[str, list[str]], method: str, route: str
) -> None:
    def prepare(case: Case) -> None:
        find_what_there_is(case, known)
        wait_for_nothing(case)

    role = next(iter(sorted(ROLES[method, route], reverse=True)), None)
    generator_of(role).try_operation(
        method, route, AT_BOUNDARIES, AT_RANDOM, examples=EXAMPLES, prepare=prepare
    )


@pytest.mark.parametrize("role", [*Role, None])
@pytest.mark.parametrize(("method", "route"), ROUTES)
def test_anybody_gets_what_the_document_says(
    generator_of: GeneratorOf, method: str, route: str, role: Role | None
) -> None:
    generator_of(role).try_operation(
        method, route, AT_RANDOM, examples=EXAMPLES_OF_ANYBODY, prepare=wait_for_nothing
    )


def find_what_there_is(case: Case, known: dict[str, list[str]]) -> None:
    """Let a path that the document allows lead to something: nothing has a made-up name."""
    names = case.path_parameters.keys() - {"index"}
    if not names or (case.meta and case.meta.is_negative_at(ParameterLocation.PATH)):
        return
    found = next(found for prefix, found in known.items() if case.path.startswith(prefix))
    # Of what is sent, so that it is the same when it is sent again.
    case.path_parameters[names.pop()] = found[crc32(repr(case.body).encode()) % len(found)]


def wait_for_nothing(case: Case) -> None:
    """Ask for what there is at once: waiting is tested elsewhere."""
    for place in (case.query, case.body):
        if isinstance(place, dict) and str(place.get("waitSeconds", "")).isdecimal():
            place["waitSeconds"] = type(place["waitSeconds"])(0)
