"""The HTTP face: users trigger runs here, and look at them."""

from __future__ import annotations

import json
import threading
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from tests.compat.double.chain import Chain
from tests.compat.double.fields import Malformed
from tests.compat.double.orchestrator import VERSION, Orchestrator, Unanswered
from tests.compat.double.run_store import RunStore
from tests.compat.double.runs import UnmappableStep
from tests.compat.double.web_token import BadToken, verify

Said = tuple[int, dict[str, Any]]

NOT_FOUND: Said = (404, {"error": "Run not found or unavailable"})
UNAVAILABLE: Said = (503, {"error": "Orchestrator unavailable"})
FORBIDDEN: Said = (403, {"error": "Forbidden"})
UNAUTHORIZED: Said = (401, {"error": "Unauthorized"})


@dataclass
class Face:
    """
    Answers users.

    Attributes:
        users_key: Signs the tokens that users bring; `id` says who they are.
    """

    orchestrator: Orchestrator
    chain: Chain
    store: RunStore
    users_key: str
    _following: list[threading.Thread] = field(default_factory=list)

    def trigger(self, run_id: str, user_id: int, body: dict[str, Any]) -> Said:
        """
        Execute a run now, with what the body brings for a step that waits.

        It knows no runs in flight: two triggers at once both ask the orchestrator.
        Whose run it is is looked at when the orchestrator has given it away.
        """
        try:
            value = self.orchestrator.available_run(run_id)
            run = None if value is None else self.chain.mapped(value)
        except Unanswered:
            return UNAVAILABLE
        except UnmappableStep as unmappable:
            self.chain.note_malformed(unmappable)
            return 400, {"error": str(unmappable)}
        except Malformed as malformed:
            self.chain.note_malformed(malformed)
            return 500, {"error": str(malformed)}
        if run is None:
            return NOT_FOUND
        if run.profile.id != user_id:
            return FORBIDDEN
        following = threading.Thread(target=self.chain.follow, args=(run, body.get("pendingData")))
        self._following.append(following)
        following.start()
        return 200, {"triggered": True}

    def look(self, run_id: str, user_id: int) -> Said:
        """What is kept of a run, if the orchestrator says that its user may see it."""
        try:
            if not self.orchestrator.may_see(run_id, user_id):
                return FORBIDDEN
        except Unanswered:
            return UNAVAILABLE
        except Malformed as malformed:
            self.chain.note_malformed(malformed)
            return UNAVAILABLE
        return 200, {"steps": self.store.steps(int(run_id))}

    def wait(self) -> None:
        """Wait for the runs that were triggered."""
        for thread in self._following:
            thread.join()

    def answer(self, method: str, path: str, token: str, body: bytes) -> Said:
        """What a request is answered."""
        match method, path.strip("/").split("/"):
            case "GET", ["health"]:
                return 200, {"state": "running"}
            case "GET" | "POST", ["runs", *_]:
                try:
                    user_id = int(verify(token.removeprefix("Bearer "), self.users_key)["id"])
                except BadToken:
                    return UNAUTHORIZED
                if method == "GET":
                    return self.look(path.split("/")[2], user_id)
                return self.trigger(path.split("/")[2], user_id, json.loads(body or b"{}"))
        return 404, {"error": "Not found"}


def serve(face: Face, host: str) -> ThreadingHTTPServer:
    """Listen on a free port; the server is shut down by whoever called."""

    class Answer(BaseHTTPRequestHandler):
        def answer(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            token = self.headers.get("Authorization", "")
            status, said = face.answer(self.command, self.path, token, body)
            content = json.dumps(said).encode()
            self.send_response(status)
            self.send_header("X-Executor-Version", VERSION)
            self.send_header("Content-Type", "application/json; charset=utf-8")
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        do_GET = do_POST = answer  # noqa: N815

        def log_message(self, *_: object) -> None:
            """Say nothing: what was asked of others is in the journal."""

    server = ThreadingHTTPServer((host, 0), Answer)
    server.daemon_threads = True
    server.block_on_close = False
    threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
    return server
