"""Runs that there are not, or not for the caller: B6 to B9."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Final
from uuid import uuid4

import orjson

from tests.acceptance.client import Json
from tests.contract.raw_http import RawAnswer
from tests.hostile.answer import check_alike
from tests.hostile.case import (
    INSUFFICIENT_SCOPE,
    LEASE_LOST,
    NOT_FOUND,
    RUN_NOT_FOUND,
    SERVED,
    VALIDATION,
    Case,
    Told,
)
from tests.hostile.place import (
    CLIENT,
    EXECUTOR,
    NARROW,
    OPERATOR,
    Place,
    a_queue,
    claim_of,
    run_claim,
)

NOBODYS: Final = "01890000-0000-7000-8000-0000000000ab"


@dataclass(frozen=True)
class Verb:
    """
    Something that is asked of one run.

    Attributes:
        on_behalf: Whether an executor of all queues asks for a client.
        missing: What it gets when there is no such run.
    """

    method: str
    path: str
    body: Callable[[], Json] | None
    by: str
    on_behalf: bool = False
    missing: Told = RUN_NOT_FOUND

    def ask(self, place: Place, run_id: str, whose: str = "") -> RawAnswer:
        """
        Ask it of a run.

        Args:
            whose: What stands before the name of the token's role.
        """
        headers: dict[str, str] = {}
        if self.on_behalf:
            headers["Dibs-On-Behalf-Of"] = f"Bearer {place.tokens[whose + CLIENT]}"
            whose = ""
        body = None if self.body is None else self.body()
        return place.send(
            self.method,
            f"/v1/runs/{run_id}{self.path}",
            body,
            by=whose + self.by,
            headers=headers,
        )


VERBS: Final = {
    "show": Verb("GET", "", None, CLIENT),
    "wait": Verb("GET", "?waitSeconds=1", None, CLIENT),
    "events": Verb("GET", "/events", None, CLIENT),
    "refusals": Verb("GET", "/refusals", None, CLIENT),
    "steps": Verb("GET", "/steps", None, CLIENT),
    "explain": Verb("GET", "/explain", None, CLIENT),
    "resume": Verb("POST", "/resume", lambda: {"input": {}}, CLIENT),
    "abort": Verb("POST", "/abort", dict, CLIENT),
    "retry": Verb("POST", "/retry", dict, CLIENT),
    "resolve": Verb("POST", "/resolve", lambda: {"as": "abort"}, OPERATOR),
    "claim": Verb("POST", "/claim", run_claim, EXECUTOR),
    "claim with input": Verb("POST", "/claim", lambda: run_claim(input={}), EXECUTOR),
    "claim on behalf": Verb("POST", "/claim", run_claim, EXECUTOR, on_behalf=True),
    # A lease decides here, and queues do not: whoever has no lease of it learns that, and
    # nothing about the run, be it there or not.
    "step start": Verb(
        "POST",
        "/steps/0/start",
        lambda: {"leaseId": str(uuid4()), "session": str(uuid4())},
        EXECUTOR,
        missing=LEASE_LOST,
    ),
}


def _of_another_queue(place: Place, verb: Verb) -> RawAnswer:
    run_id = place.create(a_queue())
    there, missing = (verb.ask(place, one, NARROW) for one in (run_id, NOBODYS))
    check_alike(_without(there, run_id), _without(missing, NOBODYS))
    assert place.ask("GET", f"/v1/runs/{run_id}/events")["items"][-1]["kind"] == "created"
    return there


def _without(answer: RawAnswer, word: str) -> RawAnswer:
    """An answer without a word of its request that it may repeat."""
    return RawAnswer(answer.status, answer.headers, answer.body.replace(word.encode(), b"it"))


def _lists_of_another_queue(place: Place) -> RawAnswer:
    queue = a_queue()
    place.create(queue)
    listed = [
        orjson.loads(place.send("GET", f"/v1/runs?queue={one}", by=NARROW + CLIENT).body)
        for one in (queue, a_queue())
    ]
    assert listed == [{"items": [], "nextCursor": None}] * 2
    answer = place.send("GET", "/v1/runs?limit=500", by=NARROW + CLIENT)
    assert queue.encode() not in answer.body
    return answer


def _bulk_of_another_queue(place: Place, act: str) -> RawAnswer:
    queue = a_queue()
    run_id = place.create(queue)
    there, missing = (
        place.send("POST", f"/v1/bulk/{act}", {"filter": {"queue": one}}, by=NARROW + CLIENT)
        for one in (queue, a_queue())
    )
    made_keys = [orjson.loads(answer.body).pop("idempotencyKey") for answer in (there, missing)]
    there, missing = map(_without, (there, missing), made_keys)
    assert there.body == missing.body
    assert place.run(run_id)["runState"] == "pending"
    return there


def _claim_of_another_queue(place: Place) -> RawAnswer:
    queue, nobodys = a_queue(), a_queue()
    run_id = place.create(queue)
    there, missing = (
        _without(place.send("POST", "/v1/claims", claim_of(one), by=NARROW + EXECUTOR), one)
        for one in (queue, nobodys)
    )
    check_alike(there, missing)
    assert place.run(run_id)["runState"] == "pending"
    return there


def _create_in_another_queue(place: Place) -> RawAnswer:
    body = {"workflow": "refund", "queue": a_queue()}
    return place.send("POST", "/v1/runs", body, by=NARROW + CLIENT)


def _by_every_verb(place: Place, run_id: str) -> RawAnswer:
    for verb in VERBS.values():
        answer = verb.ask(place, run_id)
        assert (answer.status, answer.code) == RUN_NOT_FOUND
    return answer


def _in_a_body(place: Place, text: str) -> RawAnswer:
    session = str(uuid4())
    lease = {"leaseId": NOBODYS, "runId": NOBODYS}
    report = {**lease, "stepIndex": 0, "outcome": {"status": "success"}}
    for path, body in (
        ("leases/renew", {"session": session, "leases": [{**lease, "runId": text}]}),
        ("leases/renew", {"session": session, "leases": [{**lease, "leaseId": text}]}),
        (
            "leases/release",
            {"session": session, "leases": [{**lease, "runId": text}], "reason": "draining"},
        ),
        ("reports", {"session": session, "reports": [{**report, "runId": text}]}),
        ("reports", {"session": text, "reports": [report]}),
        ("claims", claim_of("default", session=text)),
        (f"runs/{NOBODYS}/claim", run_claim(session=text)),
        (f"runs/{NOBODYS}/claim", run_claim(requestId=text)),
        (f"runs/{NOBODYS}/steps/0/start", {"session": session, "leaseId": text}),
    ):
        answer = place.send("POST", f"/v1/{path}", body, by=EXECUTOR)
        assert (answer.status, answer.code) == VALIDATION, path
    return answer


def _show(place: Place, path: str) -> RawAnswer:
    return place.send("GET", path)


NO_UUIDS: Final = {
    "a number": "1",
    "a word": "abc",
    "ten kilobytes": "x" * 10_240,
    "without hyphens": NOBODYS.replace("-", ""),
}
OTHER_FORMS: Final = {
    "uppercase": NOBODYS.upper(),
    "braces": f"{{{NOBODYS}}}",
    "urn": f"urn:uuid:{NOBODYS}",
}

CASES: Final = (
    *(
        Case("B6", name, partial(_of_another_queue, verb=verb), (verb.missing,), writes=True)
        for name, verb in VERBS.items()
    ),
    Case("B6", "list", _lists_of_another_queue, (SERVED,), writes=True),
    *(
        Case(
            "B6",
            f"bulk {act}",
            partial(_bulk_of_another_queue, act=act),
            (SERVED,),
            writes=True,
        )
        for act in ("abort", "retry")
    ),
    Case("B6", "poll", _claim_of_another_queue, (INSUFFICIENT_SCOPE,), writes=True),
    Case("B6", "create", _create_in_another_queue, (INSUFFICIENT_SCOPE,)),
    *(
        Case("B7", name, partial(verb.ask, run_id=NOBODYS), (verb.missing,))
        for name, verb in VERBS.items()
    ),
    *(
        Case("B8", f"{what} in a path", partial(_by_every_verb, run_id=text), (RUN_NOT_FOUND,))
        for what, text in (NO_UUIDS | {"NUL": "%00", "SQL": "'%20OR%201=1--"}).items()
    ),
    Case("B8", "dots in a path", partial(_show, path="/v1/runs/../x"), (RUN_NOT_FOUND, NOT_FOUND)),
    *(
        Case("B8", f"{what} in a body", partial(_in_a_body, text=text), (VALIDATION,))
        for what, text in (NO_UUIDS | {"dots": "../x", "SQL": "' OR 1=1--"}).items()
    ),
    *(
        Case("B9", f"{what} in a path", partial(_by_every_verb, run_id=text), (RUN_NOT_FOUND,))
        for what, text in (OTHER_FORMS | {"braces": f"%7B{NOBODYS}%7D"}).items()
    ),
    *(
        Case("B9", f"{what} in a body", partial(_in_a_body, text=text), (VALIDATION,))
        for what, text in OTHER_FORMS.items()
    ),
)
