"""What the executor's tests share."""

import threading
from collections.abc import Callable, Iterator
from typing import Any

import msgspec
import orjson
import pytest
from flask import Flask, Response, request
from werkzeug.serving import make_server

from executor import App
from executor.process import Executor
from executor.settings import Settings
from executor.wire import Dispatch


@pytest.fixture
def dispatch() -> Callable[..., Dispatch]:
    """Make a dispatch; members of its step can be overridden."""
    made = iter(range(1_000_000))

    def make(run_id: str | None = None, *, lease_seconds: float = 30, **step: Any) -> Dispatch:
        number = next(made)
        run_id = run_id or f"00000000-0000-7000-8000-{number:012}"
        return msgspec.convert(
            {
                "run": {"id": run_id, "workflow": "refund", "queue": "default"},
                "step": {
                    "index": 0,
                    "name": "refund",
                    "type": "refund",
                    "idempotencyKey": f"{run_id}:0",
                    **step,
                },
                "lease": {"id": f"lease-{number}", "fence": number, "seconds": lease_seconds},
            },
            Dispatch,
        )

    return make


class Answers:
    """
    A socket that answers what a test tells it to, and remembers what it was asked.

    It is no orchestrator: it has no rules and no state. It stands for what the
    real one does only when something is wrong, and for what must not be asked.
    """

    def __init__(self) -> None:
        self.asked: list[tuple[str, dict[str, Any]]] = []
        self._request_ids: list[tuple[str, str]] = []
        self.changed = threading.Condition()
        self._answers: dict[str, list[tuple[int, Any, dict[str, str]]]] = {}
        app = Flask("answers")
        app.add_url_rule("/<path:path>", view_func=self._answer, methods=["GET", "POST", "PUT"])
        self._server = make_server("127.0.0.1", 0, app, threaded=True)
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        self._thread = threading.Thread(
            target=lambda: self._server.serve_forever(poll_interval=0.02), daemon=True
        )
        self._thread.start()
        self.say("register", {})
        self.say("claims", {"dispatches": [], "nextPollAfterMs": 50})
        self.say("start", {"started": True})
        self.say("release", {"released": [], "lost": []})

    def say(self, route: str, body: Any, status: int = 200, **headers: str) -> "Answers":
        """
        Answer requests to a route like this from now on.

        Args:
            body: What to answer: JSON, bytes as they are, or a function of the
                request's body that returns status and JSON.
        """
        self._answers[route] = []
        return self.then(route, body, status, **headers)

    def then(self, route: str, body: Any, status: int = 200, **headers: str) -> "Answers":
        """Answer like this after one request was answered as said before."""
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        self._answers[route].append((status, body, named))
        return self

    def bodies(self, route: str) -> list[dict[str, Any]]:
        """What was sent to a route, in order."""
        with self.changed:
            return [body for asked, body in self.asked if asked == route]

    def request_ids(self, route: str) -> list[str]:
        """The ids under which a route was asked, in order."""
        with self.changed:
            return [request_id for asked, request_id in self._request_ids if asked == route]

    def wait_for(self, route: str, count: int = 1) -> list[dict[str, Any]]:
        """Wait until a route has been asked so many times."""
        with self.changed:
            assert self.changed.wait_for(lambda: len(self.bodies(route)) >= count, 10)
        return self.bodies(route)

    def close(self) -> None:
        self._server.shutdown()
        self._thread.join(5)
        self._server.server_close()

    def _answer(self, path: str) -> Response:
        route = "register" if request.method == "PUT" else path.rsplit("/", 1)[-1]
        body = orjson.loads(request.get_data() or b"{}")
        with self.changed:
            self.asked.append((route, body))
            self._request_ids.append((route, request.headers["X-Request-Id"]))
            queued = self._answers[route]
            status, answer, headers = queued.pop(0) if len(queued) > 1 else queued[0]
            self.changed.notify_all()
        if callable(answer):
            status, answer = answer(body)
        text = answer if isinstance(answer, bytes) else orjson.dumps(answer)
        return Response(text, status, headers, mimetype="application/json")


def renewed(body: dict[str, Any]) -> tuple[int, dict[str, Any]]:
    """Renew whatever is named."""
    return 200, {
        "renewed": [{"leaseId": lease["leaseId"]} for lease in body["leases"]],
        "serverTime": "2027-01-01T00:00:00.000Z",
    }


def finished(body: dict[str, Any]) -> tuple[int, dict[str, Any]]:
    """Take every report for the end of its run."""
    reports = body["reports"]
    return 200, {"results": [{"runId": one["runId"], "status": "finished"} for one in reports]}


@pytest.fixture
def answers() -> Iterator[Answers]:
    answers = Answers()
    answers.say("renew", renewed)
    answers.say("reports", finished)
    yield answers
    answers.close()


@pytest.fixture
def start_executor(answers: Answers) -> Iterator[Callable[..., Executor]]:
    """Start an executor in this process against `answers`."""
    started: list[Executor] = []

    def start(app: App, **settings: Any) -> Executor:
        named = {
            "ORCHESTRATOR_URL": answers.url,
            "EXECUTOR_TOKEN": "dibs_k_secret",
            "EXECUTOR_NAME": "e1",
            "EXECUTOR_HTTP_PORT": "0",
            "EXECUTOR_STOP_TIMEOUT_S": "0",
        }
        executor = Executor(app, Settings(**named | settings))
        executor.start()
        started.append(executor)
        return executor

    yield start
    for executor in started:
        executor.drain(threading.Event())
