"""Claims over HTTP: the load generator against the orchestrator."""

import subprocess
import sys

import orjson

from orchestrator.dev.ports import LOOPBACK
from orchestrator.lifecycle import Role
from tests.bench.backlog import QUEUE, check
from tests.bench.caller import REQUEST_ID, SESSION
from tests.bench.failure import BenchError
from tests.bench.load import Load, Outcome
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
    body = {
        "session": SESSION,
        "requestId": REQUEST_ID,
        "queues": [QUEUE],
        "limit": limit,
        "leaseSeconds": LEASE_SECONDS,
        "waitSeconds": 0,
    }
    request = _request("POST", "/v1/claims", stage.tokens[Role.EXECUTOR], orjson.dumps(body))
    outcome = _generate(stage, request, clients, seconds)
    if outcome.distinct_runs != outcome.runs:
        raise BenchError(f"{outcome.runs} runs were handed out, {outcome.distinct_runs} differ")
    check(stage.owner, outcome.runs, state="loading")
    return outcome


def ask_nothing_all_the_time(stage: Stage, *, clients: int, seconds: float) -> Outcome:
    """How fast generator and server are when nothing is to be done: GET /healthz."""
    return _generate(stage, _request("GET", "/healthz", "", b""), clients, seconds)


def _generate(stage: Stage, request: str, clients: int, seconds: float) -> Outcome:
    warm_up_seconds = min(WARM_UP_SECONDS, seconds / 2)
    load = Load(LOOPBACK, stage.port, request, clients, warm_up_seconds, seconds)
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


def _request(method: str, path: str, token: str, body: bytes) -> str:
    headers = {
        "Host": LOOPBACK,
        "Authorization": f"Bearer {token}",
        "Content-Type": "application/json",
        "Content-Length": str(len(body)),
    }
    lines = [f"{method} {path} HTTP/1.1", *(f"{name}: {it}" for name, it in headers.items())]
    return "\r\n".join(lines) + "\r\n\r\n" + body.decode()
