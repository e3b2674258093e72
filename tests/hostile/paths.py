"""Methods, paths and queries that there are not: B56, B57, B60 to B63."""

from functools import partial
from typing import Final
from uuid import uuid4

import orjson

from tests.contract.raw_http import RawAnswer
from tests.hostile.case import NOT_FOUND, RUN_NOT_FOUND, SERVED, VALIDATION, Case, Told
from tests.hostile.place import CLIENT, EXECUTOR, NARROW, OPERATOR, Place, a_queue
from tests.hostile.run_ids import NOBODYS

METHOD_NOT_ALLOWED: Final[Told] = (405, "method-not-allowed")
INVALID_CURSOR: Final[Told] = (422, "invalid-cursor")


def _by_method(place: Place, method: str, path: str, allowed: str) -> RawAnswer:
    answer = place.send(method, path, by=OPERATOR)
    assert answer.headers["allow"] == allowed
    return answer


def _at(place: Place, path: str) -> RawAnswer:
    return place.send("GET", path, by=OPERATOR)


def _start_of_step(place: Place, index: str) -> RawAnswer:
    body = {"leaseId": NOBODYS, "session": str(uuid4())}
    return place.send("POST", f"/v1/runs/{NOBODYS}/steps/{index}/start", body, by=EXECUTOR)


def _overridden(place: Place) -> RawAnswer:
    queue = a_queue()
    headers = {"X-HTTP-Method-Override": "POST", "X-Method-Override": "POST"}
    body = {"workflow": "refund", "queue": queue}
    answer = place.send("GET", "/v1/runs?_method=POST", body, headers=headers)
    assert place.runs_of(queue) == []
    return answer


def _overridden_header(place: Place) -> RawAnswer:
    queue = a_queue()
    headers = {"X-HTTP-Method-Override": "DELETE"}
    answer = place.send("GET", f"/v1/runs?queue={queue}", headers=headers)
    assert orjson.loads(answer.body)["items"] == []
    return answer


def _listed(place: Place, query: str) -> RawAnswer:
    return place.send("GET", f"/v1/runs?{query}")


def _cursor(place: Place, by: str = CLIENT, filters: str = "&queue={queue}") -> RawAnswer:
    queue = a_queue()
    for _ in range(2):
        place.create(queue)
    page = place.ask("GET", f"/v1/runs?queue={queue}&limit=1")
    query = f"limit=1&cursor={page['nextCursor']}{filters.format(queue=queue)}"
    return place.send("GET", f"/v1/runs?{query}", by=by)


def _bent_cursor(place: Place) -> RawAnswer:
    queue = a_queue()
    for _ in range(2):
        place.create(queue)
    cursor = place.ask("GET", f"/v1/runs?queue={queue}&limit=1")["nextCursor"]
    bent = ("B" if cursor[0] == "A" else "A") + cursor[1:]
    return _listed(place, f"limit=1&queue={queue}&cursor={bent}")


def _registered_at(place: Place, url: str) -> RawAnswer:
    body = {"session": str(uuid4()), "url": url}
    return place.send("PUT", "/v1/executors/one", body, by=EXECUTOR)


CASES: Final = (
    *(
        Case(
            "B56",
            f"{method} {path}",
            partial(_by_method, method=method, path=path, allowed=allowed),
            (METHOD_NOT_ALLOWED,),
        )
        for method, path, allowed in (
            ("GET", "/v1/claims", "POST"),
            ("PUT", "/v1/claims", "POST"),
            ("DELETE", "/v1/claims", "POST"),
            ("PATCH", "/v1/reports", "POST"),
            ("BREW", "/v1/reports", "POST"),
        )
    ),
    *(
        Case("B57", path, partial(_at, path=path), (NOT_FOUND, RUN_NOT_FOUND))
        for path in (
            "/nothing",
            "//v1/runs",
            "/v1//runs",
            "/v1/runs/",
            "/v1/./runs",
            "/v1/runs/..",
            "/v1/x/../runs",
            "/%2e%2e/v1/runs",
            "/v1/%2e%2e/v1/runs",
        )
    ),
    *(
        Case("B57", f"step {index}", partial(_start_of_step, index=index), (NOT_FOUND,))
        for index in ("-1", "1.0", "x", "99999999999", "%00")
    ),
    Case("B60", "to POST", _overridden, (SERVED, VALIDATION)),
    Case("B60", "to DELETE", _overridden_header, (SERVED,)),
    *(
        Case("B61", f"limit {limit}", partial(_listed, query=f"limit={limit}"), (VALIDATION,))
        for limit in ("0", "-1", "501", "5.0", "1&limit=2")
    ),
    Case("B61", "forged", partial(_listed, query="cursor=forged"), (INVALID_CURSOR,)),
    Case("B61", "bent", _bent_cursor, (INVALID_CURSOR,), writes=True),
    Case("B61", "of another token", partial(_cursor, by=OPERATOR), (INVALID_CURSOR,), writes=True),
    Case(
        "B61",
        "outside the token's queues",
        partial(_cursor, by=NARROW + CLIENT),
        (INVALID_CURSOR,),
        writes=True,
    ),
    Case("B61", "for all queues", partial(_cursor, filters=""), (INVALID_CURSOR,), writes=True),
    *(
        Case("B62", what, partial(_listed, query=query), (VALIDATION,))
        for what, query in {
            "sort": "sort=;drop%20table",
            "unknown filter": "lockedBy=somebody",
            "unknown state": "state=pending,cooking",
            "a queue that is none": "queue=a%20b",
            "a time that is none": "createdAfter=yesterday",
        }.items()
    ),
    *(
        Case("B63", url, partial(_registered_at, url=url), (VALIDATION,))
        for url in (
            "javascript:alert(1)",
            "ftp://x",
            "http://",
            "x",
            "http://[",
            "file:///etc/passwd",
        )
    ),
)
