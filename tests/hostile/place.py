"""Where hostile requests go: a server, who may speak to it, and good requests by hand."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Final
from uuid import uuid4

import orjson

from orchestrator.lifecycle import Role
from orchestrator.minting import mint
from orchestrator.store import tokens as access_tokens
from orchestrator.store.engine import open_engine
from tests.acceptance.client import Json
from tests.acceptance.stage import Stage, make_token
from tests.contract.raw_http import RawAnswer, send_raw

CLIENT: Final = "client"
EXECUTOR: Final = "executor"
OPERATOR: Final = "operator"
VIEWER: Final = "viewer"
# Another executor's token, also for all queues.
STRANGER: Final = "stranger"
# Of each role one whose queues hold none of the others' runs.
NARROW: Final = "narrow-"
NARROW_QUEUES: Final = ("elsewhere.*",)
REVOKED: Final = "revoked"
EXPIRED: Final = "expired"

Headers = Mapping[str, str | bytes]
JSON: Final[Headers] = {"Content-Type": "application/json"}


@dataclass(frozen=True)
class Place:
    """
    One server, and tokens by the names above; what it does is one connection each time.

    It can be sent to another process.
    """

    url: str
    tokens: Mapping[str, str]

    def send(
        self,
        method: str,
        path: str,
        body: Any = None,
        *,
        by: str | None = CLIENT,
        headers: Headers | None = None,
    ) -> RawAnswer:
        """
        Send one request, as it is.

        Args:
            body: Bytes go as they are; anything else but None as JSON.
            by: Whose token goes with it; None for nobody's.
            headers: Also those that no client would send.
        """
        return send_raw(self.url, self.request(method, path, body, by=by, headers=headers))

    def request(
        self,
        method: str,
        path: str,
        body: Any = None,
        *,
        by: str | None = CLIENT,
        headers: Headers | None = None,
    ) -> bytes:
        """The bytes of a request."""
        content = body if isinstance(body, bytes) or body is None else orjson.dumps(body)
        given: dict[str, str | bytes] = {"Host": "dibs", "Connection": "close"}
        if by is not None:
            given["Authorization"] = f"Bearer {self.tokens[by]}"
        if content is not None:
            given["Content-Length"] = str(len(content))
            if not isinstance(body, bytes):
                given.update(JSON)
        given.update(headers or {})
        lines = [f"{method} {path} HTTP/1.1".encode()]
        lines += [
            b"%s: %s" % (name.encode(), value if isinstance(value, bytes) else value.encode())
            for name, value in given.items()
        ]
        return b"\r\n".join([*lines, b"", content or b""])

    def ask(self, method: str, path: str, body: Any = None, *, by: str = CLIENT) -> Json:
        """Send a request that must succeed; its answer."""
        answer = self.send(method, path, body, by=by)
        assert answer.status in (200, 201), f"{method} {path}: {answer.status} {answer.body!r}"
        answered: Json = orjson.loads(answer.body)
        return answered

    def create(self, queue: str, **members: Any) -> str:
        """A new run; its id."""
        run = self.ask("POST", "/v1/runs", {"workflow": "refund", "queue": queue, **members})
        return str(run["id"])

    def claim(self, queue: str, *, by: str = EXECUTOR, **members: Any) -> Json:
        """Claim the one run of a queue; its dispatch."""
        (dispatch,) = self.ask("POST", "/v1/claims", claim_of(queue, **members), by=by)[
            "dispatches"
        ]
        claimed: Json = dispatch
        return claimed

    def held(self, queue: str, **members: Any) -> Json:
        """A new run that the executor holds; its dispatch."""
        self.create(queue)
        return self.claim(queue, **members)

    def report(self, *reports: Json, by: str = EXECUTOR) -> list[Json]:
        """Report; what became of each."""
        body = {"session": str(uuid4()), "chain": True, "reports": list(reports)}
        results: list[Json] = self.ask("POST", "/v1/reports", body, by=by)["results"]
        return results

    def run(self, run_id: str) -> Json:
        return self.ask("GET", f"/v1/runs/{run_id}")

    def runs_of(self, queue: str) -> list[Json]:
        items: list[Json] = self.ask("GET", f"/v1/runs?queue={queue}")["items"]
        return items


def a_queue() -> str:
    """A queue of the case's own."""
    return f"hostile-{uuid4().hex[:12]}"


def claim_of(queue: str, **members: Any) -> Json:
    """The body of a claim."""
    return {
        "session": str(uuid4()),
        "requestId": str(uuid4()),
        "queues": [queue],
        "limit": 1,
        "leaseSeconds": 30,
        "waitSeconds": 0,
        **members,
    }


def run_claim(**members: Any) -> Json:
    """The body of a claim by id."""
    return {
        "session": str(uuid4()),
        "requestId": str(uuid4()),
        "leaseSeconds": 30,
        **members,
    }


def place_on(stage: Stage) -> Place:
    """The stage's server, with all tokens that the cases need."""
    tokens = {role.value: token for role, token in stage.tokens.items()}
    tokens[STRANGER] = make_token(stage.database, STRANGER, Role.EXECUTOR)
    for role in Role:
        name = NARROW + role.value
        tokens[name] = make_token(stage.database, name, role, NARROW_QUEUES)
    tokens |= _bad_tokens(stage)
    return Place(stage.orchestrator.url, tokens)


def _bad_tokens(stage: Stage) -> dict[str, str]:
    engine = open_engine(stage.database.owner_url, connections=1, name="hostile")
    try:
        with engine.begin() as connection:
            made = {
                REVOKED: mint(connection, name=REVOKED, role=Role.CLIENT),
                EXPIRED: mint(
                    connection, name=EXPIRED, role=Role.CLIENT, lasts=timedelta(microseconds=1)
                ),
            }
            access_tokens.revoke(connection, name=REVOKED)
    finally:
        engine.dispose()
    return made
