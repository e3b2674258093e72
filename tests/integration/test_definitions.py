"""Definitions: immutable versions, of which one is current and each run is pinned to one."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from functools import partial

import orjson
import psycopg
import pytest

from orchestrator.lifecycle import Role
from tests.database import Database
from tests.integration.face import Face, fresh_name, problem, step
from tests.integration.racing import at_once


@pytest.fixture
def service(module_database: Database) -> Iterator[psycopg.Connection]:
    """The service's own session."""
    with closing(psycopg.connect(module_database.service_url)) as connection:
        yield connection


def test_the_same_content_is_the_same_version(face: Face) -> None:
    name = fresh_name("workflow")

    versions = [
        face.put(name, step("a", timeoutSeconds=30)),
        # Spelled otherwise: another order, a number, a default.
        face.put(name, {"timeoutSeconds": 30.0, "type": "a", "mutating": False, "name": "a"}),
        face.put(name, step("a", timeoutSeconds=31)),
    ]

    assert versions == [1, 1, 2]


def test_an_earlier_content_is_its_earlier_version_again(face: Face) -> None:
    name = fresh_name("workflow")
    face.put(name, step("a"))
    face.put(name, step("b"))

    again = face.put(name, step("a"))

    shown = face.ask(Role.VIEWER, "GET", f"/v1/workflows/{name}")
    assert (again, shown["version"], shown["current"], shown["versions"]) == (1, 1, True, [1, 2])
    assert face.create(name)["workflowVersion"] == 1


def test_a_version_is_shown_as_it_was_put(face: Face) -> None:
    name = fresh_name("workflow")
    face.put(name, step("a", params={"big": 2**70, "text": "ä"}))
    face.put(name, step("b"))

    shown = face.ask(Role.VIEWER, "GET", f"/v1/workflows/{name}?version=1")

    assert (shown["version"], shown["current"]) == (1, False)
    assert shown["definition"]["steps"][0]["params"]["text"] == "ä"
    assert f'"big":{2**70}' in face.send(
        Role.VIEWER, "GET", f"/v1/workflows/{name}?version=1"
    ).text.replace(" ", "")
    assert problem(face.send(Role.VIEWER, "GET", f"/v1/workflows/{name}?version=3")) == (
        404,
        "not-found",
    )


def test_a_run_goes_on_by_the_version_that_it_was_created_with(face: Face) -> None:
    name = fresh_name("workflow")
    face.put(name, step("a", "b"), step("b", type="old"))
    waits_already = face.create(name)
    held = face.dispatch(name)
    face.put(name, step("x", "y"), step("y"))

    pinned = face.hold(waits_already["id"])
    following = [face.succeed(dispatch)["next"] for dispatch in (pinned, held)]

    assert (pinned["step"]["name"], pinned["run"]["workflowVersion"]) == ("a", 1)
    assert [(each["step"]["name"], each["step"]["type"]) for each in following] == [
        ("b", "old"),
        ("b", "old"),
    ]
    assert face.create(name)["stepName"] == "x"


def test_a_definition_that_comes_later_does_not_touch_a_run_of_none(face: Face) -> None:
    name = fresh_name("workflow")
    dispatch = face.dispatch(name)
    face.put(name, step(name, "b"), step("b"))

    assert dispatch["run"]["workflowVersion"] is None
    assert face.succeed(dispatch)["status"] == "finished"


def test_puts_at_once_agree_on_versions(face: Face) -> None:
    name = fresh_name("workflow")
    definitions = [(step(word),) for word in ("a", "b", "c", "a", "b", "c")]

    versions = at_once(*(partial(face.put, name, *steps) for steps in definitions))

    assert versions[:3] == versions[3:]
    assert sorted(versions[:3]) == [1, 2, 3]


@pytest.mark.parametrize(
    ("steps", "path", "words"),
    [
        ([], "/steps", "at least 1"),
        ([step("a", "gone")], "/steps/0/next/0", "step a: there is no step gone"),
        ([step("a"), step("b")], "/steps/1", "step b cannot be reached"),
        ([step("a", "b"), step("b", "a")], "/steps/0/next", "step a is in a cycle"),
        ([step("a", timeoutSeconds=0)], "/steps/0/timeoutSeconds", "greater than 0"),
        ([step("a", timeoutSeconds=-1)], "/steps/0/timeoutSeconds", "greater than 0"),
        ([step("a", retry={"backoffSeconds": -1})], "/steps/0/retry/backoffSeconds", "greater"),
        ([step("a", retry={"backoffFactor": 0.5})], "/steps/0/retry/backoffFactor", "greater"),
        ([step("a", retry={"maxFailures": 0})], "/steps/0/retry/maxFailures", "greater"),
        ([step("a", retry={"tries": 3})], "/steps/0/retry/tries", ""),
        ([step("a b")], "/steps/0/name", ""),
        ([step("a", queue="no queue")], "/steps/0/queue", ""),
        ([step("a", params=[1])], "/steps/0/params", ""),
        ([step("a", onFailure="b")], "/steps/0/onFailure", ""),
    ],
)
def test_a_bad_definition_is_refused_by_name_and_changes_nothing(
    face: Face, steps: list[dict[str, object]], path: str, words: str
) -> None:
    name = fresh_name("workflow")
    face.put(name, step("good"))

    answer = face.send(Role.OPERATOR, "PUT", f"/v1/workflows/{name}", {"steps": steps})

    assert problem(answer) == (422, "validation")
    errors = orjson.loads(answer.data)["errors"]
    assert path in [error["path"] for error in errors]
    assert words in " ".join(error["message"] for error in errors)
    shown = face.ask(Role.VIEWER, "GET", f"/v1/workflows/{name}")
    assert (shown["versions"], face.create(name)["stepName"]) == ([1], "good")


def test_a_type_that_nobody_serves_is_a_warning_until_somebody_does(face: Face) -> None:
    name, known = fresh_name("workflow"), fresh_name("type")
    steps = {"steps": [step("a", type=known)]}

    before = face.ask(Role.OPERATOR, "PUT", f"/v1/workflows/{name}", steps)
    unserved = face.ask(Role.VIEWER, "GET", f"/v1/workflows/{name}")["unservedStepTypes"]
    face.register(stepTypes=[known])
    after = face.ask(Role.OPERATOR, "PUT", f"/v1/workflows/{name}", steps)

    assert [known in warning and "step a" in warning for warning in before["warnings"]] == [True]
    assert unserved == [known]
    assert (after["warnings"], after["version"]) == ([], before["version"])
    listed = face.ask(Role.VIEWER, "GET", "/v1/workflows")["items"]
    assert [one["unservedStepTypes"] for one in listed if one["name"] == name] == [[]]


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE workflows SET definition = definition",
        "DELETE FROM workflows",
        "TRUNCATE workflows",
    ],
)
def test_a_version_is_for_ever_whoever_asks(
    face: Face, service: psycopg.Connection, statement: str
) -> None:
    face.define(step("a"))

    with pytest.raises(psycopg.errors.CheckViolation) as refused:
        face.sql(statement)
    assert (refused.value.diag.constraint_name or "").startswith("workflows_")
    with pytest.raises(psycopg.errors.InsufficientPrivilege):
        service.execute(statement.encode())


@pytest.mark.parametrize(
    ("change", "refused_by"),
    [
        ("version = 0, \"contentHash\" = '\\x00'", "workflows_version_positive"),
        (
            "\"contentHash\" = '\\x01', version = 9, \"firstStep\" = 'gone'",
            "workflows_first_step_known",
        ),
        ("version = 9", "workflows_content_once"),
        ("\"contentHash\" = '\\x02'", "workflows_pkey"),
    ],
)
def test_an_impossible_version_is_refused(face: Face, change: str, refused_by: str) -> None:
    name = face.define(step("a"))
    columns = {part.split(" = ")[0]: part.split(" = ")[1] for part in change.split(", ")}
    kept = ("name", "version", "definition", '"firstStep"', "steps", '"contentHash"')

    with pytest.raises(psycopg.errors.IntegrityError) as refused:
        face.sql(
            f'INSERT INTO workflows ({", ".join(kept)}, "createdBy", "createdAt")'
            f" SELECT {', '.join(columns.get(column, column) for column in kept)}, 'x', now()"
            " FROM workflows WHERE name = %s",
            name,
        )
    assert refused.value.diag.constraint_name == refused_by
