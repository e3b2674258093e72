"""Single requests to the orchestrator, for what is not load."""

import http.client
import secrets

import orjson

from orchestrator.dev.ports import LOOPBACK
from orchestrator.lifecycle import Role
from tests.bench.failure import BenchError
from tests.bench.stage import Stage

ANSWER_SECONDS = 10.0


def connect(stage: Stage) -> http.client.HTTPConnection:
    """A connection that stays, for one request after another."""
    return http.client.HTTPConnection(LOOPBACK, stage.port, timeout=ANSWER_SECONDS)


def post(
    stage: Stage,
    connection: http.client.HTTPConnection,
    path: str,
    body: dict[str, str],
    role: Role = Role.CLIENT,
) -> dict[str, str]:
    """
    Send one request and read its answer.

    Raises:
        BenchError: It was refused.
    """
    headers = {
        "Authorization": f"Bearer {stage.tokens[role]}",
        "Content-Type": "application/json",
    }
    connection.request("POST", path, orjson.dumps(body), headers)
    answer = connection.getresponse()
    said = answer.read()
    if answer.status not in (200, 201):
        raise BenchError(f"POST {path}: {answer.status} {said.decode(errors='replace')}")
    read: dict[str, str] = orjson.loads(said)
    return read


def fresh_queue() -> str:
    """A name of its own: a claim may still be parked for executors of an earlier sample."""
    return f"bench-{secrets.token_hex(4)}"
