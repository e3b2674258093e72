"""Claims and cycles over HTTP: the load generator against the orchestrator."""

import subprocess
import sys

import orjson

from orchestrator.dev.ports import LOOPBACK
from orchestrator.lifecycle import Role
from tests.bench.backlog import QUEUE, check
from tests.bench.caller import LEASE_ID, REQUEST_ID, RUN_ID, SESSION
from tests.bench.failure import BenchError
from tests.bench.load import Load
from tests.bench.outcome import Outcome
from tests.bench.stage import Stage

LEASE_SECONDS = 3_600
WARM_UP_SECONDS = 0.5
SPARE_SECONDS = 60.0


def claim_all_the_time(stage: Stage, *, clients: int, limit: int, seconds: float) -> Outcome:
    """
    Let so many clients claim, each as soon as its last claim is answered.

    Raises:
        BenchError: A claim failed, a run was handed out twice, or none was left.
    """
    outcome = _generate(stage, _claim(stage, limit), None, clients, seconds)
    _check_distinct(outcome)
    check(stage.owner, outcome.runs, state="loading")
    return outcome


def cycle_all_the_time(stage: Stage, *, clients: int, seconds: float) -> Outcome:
    """
    Let so many clients claim a run and report its success, over and over.

    Raises:
        BenchError: A request failed, a run was handed out twice, was not
            finished by its report, or none was left.
    """
    outcome = _generate(stage, _claim(stage, 1), _report(stage), clients, seconds)
    _check_distinct(outcome)
    if outcome.finished != outcome.runs:
        raise BenchError(f"of {outcome.runs} claimed runs {outcome.finished} were finished")
    check(stage.owner, outcome.finished, state="finished")
    return outcome


def ask_nothing_all_the_time(stage: Stage, *, clients: int, seconds: float) -> Outcome:
    """How fast generator and server are when nothing is to be done: GET /healthz."""
    return _generate(stage, request("GET", "/healthz", "", b""), None, clients, seconds)


def claim_request(token: str, *, queue: str, limit: int, wait_seconds: int) -> str:
    """One claim as text; the session and the request's id are for the caller to fill in."""
    body = {
        "session": SESSION,
        "requestId": REQUEST_ID,
        "queues": [queue],
        "limit": limit,
        "leaseSeconds": LEASE_SECONDS,
        "waitSeconds": wait_seconds,
    }
    return request("POST", "/v1/claims", token, orjson.dumps(body))


def request(method: str, path: str, token: str, body: bytes) -> str:
    """A whole request as text, on a connection that stays."""
    headers = {
        "Host": LOOPBACK,
        "Authorization": f"Bearer {token}",
        "Content-Type": "application/json",
        "Content-Length": str(len(body)),
    }
    lines = [f"{method} {path} HTTP/1.1", *(f"{name}: {it}" for name, it in headers.items())]
    return "\r\n".join(lines) + "\r\n\r\n" + body.decode()


def _claim(stage: Stage, limit: int) -> str:
    return claim_request(stage.tokens[Role.EXECUTOR], queue=QUEUE, limit=limit, wait_seconds=0)


def _report(stage: Stage) -> str:
    success = {"status": "success", "output": None}
    done = {"leaseId": LEASE_ID, "runId": RUN_ID, "stepIndex": 0, "outcome": success}
    body = orjson.dumps({"session": SESSION, "chain": True, "reports": [done]})
    return request("POST", "/v1/reports", stage.tokens[Role.EXECUTOR], body)


def _generate(
    stage: Stage, claim: str, report: str | None, clients: int, seconds: float
) -> Outcome:
    warm_up_seconds = min(WARM_UP_SECONDS, seconds / 2)
    load = Load(LOOPBACK, stage.port, claim, report, clients, warm_up_seconds, seconds)
    ended = subprocess.run(
        [sys.executable, "-m", "tests.bench.load"],
        input=orjson.dumps(load),
        capture_output=True,
        check=False,
        timeout=seconds + SPARE_SECONDS,
        # Ctrl-C is for the bench, which then ends what it has started.
        start_new_session=True,
    )
    if ended.returncode:
        raise BenchError(f"the load generator failed: {ended.stderr.decode()[-2_000:]}")
    outcome = Outcome(**orjson.loads(ended.stdout))
    if outcome.failures:
        raise BenchError(f"{outcome.failures} requests failed, the first: {outcome.failure}")
    return outcome


def _check_distinct(outcome: Outcome) -> None:
    if outcome.distinct_runs != outcome.runs:
        raise BenchError(f"{outcome.runs} runs were handed out, {outcome.distinct_runs} differ")
