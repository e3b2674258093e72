"""The agent's data as that executor reads and writes it, on behalf of a run's user."""

from __future__ import annotations

import re
import time
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote, urlencode

from tests.compat.double.http1 import Way
from tests.compat.double.runs import Run
from tests.compat.double.web_token import sign

TIME_ZONE = urlencode({"timezone": "Europe/Paris"})
TOKEN_SECONDS = 300


class AgentRefused(Exception):
    """The agent did not do what it was asked for."""


@dataclass(frozen=True)
class Agent:
    """One agent, and the key under which it believes what a token says."""

    way: Way
    users_key: str

    def probe(self) -> None:
        """Look whether it is there."""
        self.way.send("GET", "/forest/", {})

    def read(self, run: Run, names: list[str]) -> Any:
        query = {"searchExtended": "false", f"fields[{run.collection_name}]": ",".join(names)}
        return self._ask(run, "GET", f"{_record(run)}?{TIME_ZONE}&{urlencode(query)}")

    def update(self, run: Run, values: dict[str, Any]) -> Any:
        data = {"attributes": values, "type": run.collection_name, "id": run.record_id}
        return self._ask(run, "PUT", f"{_record(run)}?{TIME_ZONE}", {"data": data})

    def act(self, run: Run, endpoint: str, action: str) -> Any:
        attributes = {
            "collection_name": run.collection_name,
            "ids": [run.record_id],
            "values": {},
            "smart_action_id": action,
        }
        data = {"attributes": attributes, "type": "custom-action-requests"}
        return self._ask(run, "POST", f"{endpoint}?{TIME_ZONE}", {"data": data})

    def _ask(self, run: Run, method: str, path: str, body: Any = None) -> Any:
        headers = {"Authorization": f"Bearer {self._token(run)}"}
        answer = self.way.send(method, path, headers, body)
        if not answer.is_success:
            raise AgentRefused(f"{method} {path}: {answer.status}")
        return answer.json()

    def _token(self, run: Run) -> str:
        """Says who the user is, tags and all, in both spellings; never the server's token."""
        members = {
            name: value for name, value in run.profile.members.items() if name != "serverToken"
        }
        named = ("firstName", "lastName", "renderingId", "permissionLevel")
        snake = {_snake(name): members[name] for name in named if name in members}
        now = int(time.time())
        times = {"iat": now, "exp": now + TOKEN_SECONDS}
        return sign({**members, **snake, "scope": "step-execution", **times}, self.users_key)


def _record(run: Run) -> str:
    return f"/forest/{quote(run.collection_name)}/{quote(run.record_id, safe='')}"


def _snake(name: str) -> str:
    return re.sub(r"[A-Z]", lambda letter: f"_{letter[0].lower()}", name)
