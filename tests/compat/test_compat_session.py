"""The recorded session against our adapter: request by request, and field by field."""

from __future__ import annotations

import copy
import re
from collections.abc import Iterator
from contextlib import closing
from typing import Any

import pytest

from tests.acceptance.client import Client
from tests.acceptance.stage import Stage
from tests.acceptance.waiting import eventually
from tests.compat.agent import Agent
from tests.compat.double.runs import run_of
from tests.compat.double.schema import schema_of
from tests.compat.doubles import Doubles, Json
from tests.compat.recorded import Exchange, session
from tests.compat.recording import played
from tests.compat.serving import MakeSecret, put

COLLECTION = "orders"
RECORD = 7
ROUTES = "/api/workflow-orchestrator"
LOG = "/api/activity-logs-requests"
GIVEN = [{"userConfirmed": True}, {"userInput": "done by hand"}, {"selectedOption": "Yes"}]
# How many reports there are when the run waits again, and when it is over.
REPORTS = (3, 5, 7, 10)

# Every field of a run that the executor checks; of each entry of its history, too.
OF_A_RUN = (
    *("id", "collectionId", "collectionName", "selectedRecordId", "triggerType"),
    *("workflowHistory", "userProfile.id", "userProfile.email", "userProfile.renderingId"),
    *("userProfile.tags", "userProfile.serverToken"),
)
OF_AN_ENTRY = ("stepName", "stepIndex", "done", "stepDefinition")
OF_OTHERS = {
    "collection-schema": (
        *("collectionName", "collectionId", "collectionDisplayName", "primaryKeyFields"),
        *("fields.0.fieldName", "fields.0.displayName", "fields.0.isRelationship"),
        *("actions.0.name", "actions.0.displayName", "actions.0.endpoint"),
        *("actions.0.fields", "actions.0.hooks.load", "actions.0.hooks.change"),
    ),
    "access-check": ("hasAccess",),
    "activity-logs-requests": ("data.id", "data.attributes.index"),
}


@pytest.fixture
def run_id(web: Client, ops: Client, queue: str) -> str:
    """A run of the recorded steps, about the recorded record."""
    put(ops, queue, definition())
    return web.create(queue, queue, input={"recordId": RECORD, "collectionName": COLLECTION})


def definition() -> list[Json]:
    """The recorded steps, verbatim but for where the condition leads to."""
    steps = copy.deepcopy(session().steps)
    names = [f"step_{index}" for index in range(len(steps))]
    following = [[name] for name in names[1:]] + [[]]
    (place,) = [index for index, step in enumerate(steps) if step["type"] == "condition"]
    following[place] = names[place + 1 : place + 3]
    for way, name in zip(steps[place]["outgoing"], following[place], strict=True):
        way["stepId"] = name
    return [
        {
            "name": name,
            "type": name,
            "params": params,
            "next": next_,
            "mutating": params.get("taskType") in ("update-data", "trigger-action"),
        }
        for name, params, next_ in zip(names, steps, following, strict=True)
    ]


def test_the_double_asks_for_the_same_in_the_same_order_as_recorded(
    run_id: str, doubles: Doubles, secret_of: MakeSecret, agent: Agent, web: Client
) -> None:
    double = doubles.start(secret_of("one"), poll_seconds=1.0)
    double.wait_for_reports(REPORTS[0])
    number = double.reports()[0]["body"]["runId"]

    with double.user() as user:
        looks = [user.send("GET", f"/runs/{number}")]
        for given, reports in zip(GIVEN, REPORTS[1:], strict=True):
            assert double.trigger(number, given) == 200
            double.wait_for_reports(reports)
        looks.append(user.send("GET", f"/runs/{number}"))
    recorded = [
        neutral(each.to, each.method, each.path, each.body)
        for each in session().to("orchestrator", "agent")
    ]
    eventually(lambda: len(played(double)) >= len(recorded), what="all was answered")

    assert [
        neutral(each["to"], each["method"], each["path"], each["body"]) for each in played(double)
    ] == recorded
    assert [look.status_code for look in looks] == [200, 200]
    assert web.run(run_id)["runState"] == "finished"
    chained = [report for report in double.reports() if report["answer"] != "null"]
    assert (len(double.reports()), len(chained), len(agent.calls())) == (10, 6, 5)


def neutral(to: str, method: str, path: str, body: Any) -> tuple[str, str, str, Any]:
    """A request without what is another one's to choose: numbers, ids, where an action is run."""
    path = re.sub(r"(available-run|run)/\d+", r"\1/ID", path)
    path = re.sub(r"runId=\d+", "runId=ID", path)
    path = re.sub(rf"{LOG}/[^/]+/[^/]+/", f"{LOG}/INDEX/ID/", path)
    if to == "agent" and method == "POST":
        path = "ENDPOINT"
    body = copy.deepcopy(body)
    if isinstance(body, dict) and "runId" in body:
        body["runId"] = "ID"
    if path == LOG:
        body["data"]["relationships"]["collection"]["data"]["id"] = "ID"
    return to, method, path, body


def test_every_field_that_the_executor_checks_is_there_and_of_its_type(
    run_id: str, stage: Stage, secret_of: MakeSecret, web: Client
) -> None:
    with closing(Replay(stage.orchestrator.url, secret_of("one"))) as replay:
        for exchange in session().to("orchestrator"):
            replay.play(exchange)

    assert replay.told == 6 + 4
    assert web.run(run_id)["runState"] == "finished"


class Replay:
    """
    Sends what was recorded, with our numbers and tokens, and compares the answers.

    Attributes:
        told: How many runs have been handed out.
    """

    def __init__(self, url: str, secret: str) -> None:
        self.told = 0
        self._client = Client(url)
        self._secret = secret
        self._run: Json = {}
        self._entry: Json = {}

    def close(self) -> None:
        self._client.close()

    def play(self, exchange: Exchange) -> None:
        """Send one request; its answer must be as good as the recorded one."""
        where = f"{exchange.method} {exchange.path}"
        answer = self._client.send(
            exchange.method,
            self._path(exchange.path),
            self._body(exchange.body),
            headers=self._headers(exchange),
        )
        assert answer.status_code == exchange.status, f"{where}: {answer.text}"
        assert bool(answer.content) == exchange.has_body, where
        if not exchange.has_body:
            return
        ours = answer.json()
        if exchange.runs:
            runs = ours if isinstance(ours, list) else [ours]
            for one, recorded in zip(runs, exchange.runs, strict=True):
                self._compare_run(one, recorded, where)
        elif exchange.answer is None:
            assert ours is None, where
        else:
            self._compare_other(ours, exchange.answer, where)

    def _compare_run(self, ours: Json, recorded: Json, where: str) -> None:
        self.told += 1
        self._run = ours
        compare(ours, recorded, OF_A_RUN, where)
        entries = zip(ours["workflowHistory"], recorded["workflowHistory"], strict=True)
        for one, other in entries:
            compare(one, other, OF_AN_ENTRY, where)
            assert (one["stepIndex"], one["done"]) == (other["stepIndex"], other["done"])
            assert one["stepName"] == other["stepName"]
        current = ours["workflowHistory"][-1]
        (step,) = [one for one in definition() if one["name"] == current["stepName"]]
        assert {**current["stepDefinition"], **step["params"]} == current["stepDefinition"]
        assert ours["selectedRecordId"] == recorded["selectedRecordId"]
        assert ours["userProfile"]["id"] == recorded["userProfile"]["id"]
        understood = run_of(ours)
        assert understood is not None

    def _compare_other(self, ours: Json, recorded: Json, where: str) -> None:
        (checked,) = [fields for part, fields in OF_OTHERS.items() if part in where]
        compare(ours, recorded, checked, where)
        if "schema" in where:
            schema = schema_of(ours)
            assert {"total", "status"} <= schema.fields.keys()
            assert "Refund" in schema.endpoints
        elif "access" in where:
            assert ours["hasAccess"] is True
        else:
            self._entry = ours["data"]

    def _path(self, path: str) -> str:
        if not self._run:
            return path
        number = str(self._run["id"])
        path = path.replace("/101", f"/{number}").replace("runId=101", f"runId={number}")
        if path.startswith(f"{LOG}/"):
            index = self._entry["attributes"]["index"]
            path = f"{LOG}/{index}/{self._entry['id']}/status"
        return path

    def _body(self, recorded: Any) -> Any:
        body = copy.deepcopy(recorded)
        if isinstance(body, dict) and "runId" in body:
            body["runId"] = self._run["id"]
        return body

    def _headers(self, exchange: Exchange) -> dict[str, str]:
        values = {
            "forest-secret-key": self._secret,
            "forest-application-source": "WorkflowExecutor",
        }
        if "authorization" in exchange.headers:
            values["authorization"] = f"Bearer {self._run['userProfile']['serverToken']}"
        return {name: values[name] for name in exchange.headers}


def compare(ours: Any, recorded: Any, paths: tuple[str, ...], where: str) -> None:
    """Each of these fields is there, and of the type that it was recorded with."""
    for path in paths:
        found, wanted = at(ours, path), at(recorded, path)
        assert [type(one) for one in found] == [type(one) for one in wanted], (where, path, found)
        assert [one != "" for one in found] == [True], (where, path)


def at(document: Any, path: str) -> list[Any]:
    """What stands there, in a list; nothing when nothing does."""
    return [*_at(document, path.split("."))]


def _at(document: Any, way: list[str]) -> Iterator[Any]:
    if not way:
        yield document
    elif isinstance(document, list):
        yield from _at(document[int(way[0])], way[1:]) if int(way[0]) < len(document) else ()
    elif isinstance(document, dict) and way[0] in document:
        yield from _at(document[way[0]], way[1:])
