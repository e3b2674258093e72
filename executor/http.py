"""The executor's HTTP face: trigger a run, look at one, look at the process."""

import math
import re
from collections.abc import Callable
from typing import Any
from uuid import UUID

import orjson
from flask import Flask, Response, request
from werkzeug.exceptions import HTTPException

from executor.in_flight import InFlightRuns
from executor.metrics import MEDIA_TYPE, Metrics
from executor.pending_data import read_pending_data
from executor.runner import Runner
from executor.trigger import Trigger, TriggerRefusedError

_BEARER = re.compile(r"Bearer +([!-~]+)", re.IGNORECASE)


def create_app(
    trigger: Trigger,
    in_flight: InFlightRuns,
    runner: Runner,
    health: Callable[[Callable[[str], bool]], dict[str, Any]],
    metrics: Metrics,
) -> Flask:
    """
    The WSGI application; every refusal is ``{"error", "code"}``.

    Every answer is JSON, but for what Prometheus reads.
    """
    app = Flask("executor", static_folder=None)
    app.url_map.merge_slashes = False
    app.before_request(_require_plain_http)

    @app.post("/runs/<run_id>/trigger")
    def fire(run_id: str) -> Response:
        token = _token()
        try:
            caller = trigger.identify(token, request.remote_addr or "")
            pending_data = read_pending_data(request)
            trigger.fire(
                _canonical(run_id),
                token or "",
                caller,
                pending_data,
                traceparent=request.headers.get("traceparent"),
            )
        except TriggerRefusedError as refused:
            metrics.triggers.add(refused.code)
            raise
        metrics.triggers.add("triggered")
        metrics.claimed_runs.add("trigger")
        return _json(200, {"triggered": True})

    @app.get("/runs/<run_id>")
    def show(run_id: str) -> Response:
        caller = trigger.identify(_token(), request.remote_addr or "")
        entry = in_flight.find(_canonical(run_id))
        if entry is None or entry.queue is None or not caller.may_see(entry.queue):
            raise _not_found()
        executions = [one for one in runner.executions() if one.entry is entry]
        shown: dict[str, Any] = {"runId": entry.run_id, "inFlight": True, "since": entry.since}
        for execution in executions:
            step = execution.dispatch.step
            shown["step"] = {"index": step.index, "name": step.name, "type": step.type}
            shown["stepSince"] = execution.step_since
            if execution.cancellation is not None:
                shown["cancelled"] = execution.cancellation.value
        return _json(200, shown)

    @app.get("/health")
    def healthy() -> Response:
        # Open to all, but runs are named to callers of their queues only.
        token = _token()
        caller = trigger.identify(token, request.remote_addr or "") if token else None
        shown = health(lambda queue: caller is not None and caller.may_see(queue))
        return _json(503 if runner.draining else 200, shown)

    @app.get("/metrics")
    def told() -> Response:
        # Open to all, like `/health`: it names no run, and costs what one a second costs.
        return Response(metrics.exposition(), content_type=MEDIA_TYPE)

    @app.errorhandler(TriggerRefusedError)
    def refused(error: TriggerRefusedError) -> Response:
        answer = _json(error.status, {"error": str(error), "code": error.code})
        if error.retry_after_seconds is not None:
            answer.headers["Retry-After"] = str(math.ceil(error.retry_after_seconds))
        if error.status == 401:
            answer.headers["WWW-Authenticate"] = "Bearer"
        return answer

    @app.errorhandler(HTTPException)
    def failed(error: HTTPException) -> Response:
        status = error.code or 500
        answer = _json(status, {"error": error.name, "code": _code(error.name)})
        if allowed := getattr(error, "valid_methods", None):
            answer.headers["Allow"] = ", ".join(sorted(allowed))
        return answer

    return app


def _require_plain_http() -> None:
    """Refuse what is no request of HTTP/1.1 to a path here, and paths that only look like one."""
    environ = request.environ
    target = environ["REQUEST_URI"]
    if (
        environ["SERVER_PROTOCOL"] != "HTTP/1.1"
        or not environ.get("HTTP_HOST")
        or not target.startswith("/")
        or environ.get("HTTP_UPGRADE", "").lower() == "websocket"
    ):
        raise TriggerRefusedError(
            400, "malformed_request", "Send HTTP/1.1 with a Host, and a path of this server."
        )
    # Slashes in front are taken away before the router sees them.
    if target.startswith("//"):
        raise TriggerRefusedError(404, "not_found", "There is nothing at this path.")


def _token() -> str | None:
    """The caller's bearer token, if there is exactly one."""
    match = _BEARER.fullmatch(request.headers.get("Authorization", ""))
    return match[1] if match else None


def _canonical(run_id: str) -> str:
    try:
        if str(UUID(run_id)) == run_id:
            return run_id
    except ValueError:
        pass
    raise _not_found()


def _not_found() -> TriggerRefusedError:
    return TriggerRefusedError(404, "run_not_found", "There is no such run.")


def _json(status: int, body: dict[str, Any]) -> Response:
    return Response(orjson.dumps(body), status, mimetype="application/json")


def _code(name: str) -> str:
    return re.sub(r"[^a-z]+", "_", name.lower()).strip("_")
