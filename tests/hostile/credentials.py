"""Who it is that asks: B1 to B5, B10, B59."""

from functools import partial
from typing import Final

from tests.contract.raw_http import RawAnswer, send_raw
from tests.hostile.answer import check_alike
from tests.hostile.case import INSUFFICIENT_SCOPE, SERVED, UNAUTHENTICATED, Case
from tests.hostile.place import CLIENT, EXECUTOR, EXPIRED, OPERATOR, REVOKED, VIEWER, Place

# What is never to be found again in a log or in the database.
CANARY: Final = "canary-yellow-4711"


def _without_any(place: Place, method: str, path: str) -> RawAnswer:
    return place.send(method, path, None if method == "GET" else {}, by=None)


def _with(place: Place, *, authorization: bytes) -> RawAnswer:
    return place.send("GET", "/v1/runs", by=None, headers={"Authorization": authorization})


def _twice(place: Place) -> RawAnswer:
    line = b"Authorization: Bearer %s\r\n" % place.tokens[CLIENT].encode()
    return send_raw(
        place.url,
        b"GET /v1/runs HTTP/1.1\r\nHost: dibs\r\nConnection: close\r\n" + line + line + b"\r\n",
    )


def _alike(place: Place, *tokens: str) -> RawAnswer:
    answers = [
        place.send("GET", "/v1/runs", by=None, headers={"Authorization": f"Bearer {token}"})
        for token in tokens
    ]
    # After many of them an address is told to come less often, in the middle perhaps.
    limited = [answer for answer in answers if answer.status == 429]
    return limited[0] if limited else check_alike(*answers)


def _unknown_or_wrong(place: Place) -> RawAnswer:
    known_id = place.tokens[CLIENT].split("_")[1]
    wrong = "x" * 43
    return _alike(place, f"dibs_0123456789abcdef_{wrong}", f"dibs_{known_id}_{wrong}")


def _no_longer_good(place: Place, which: str) -> RawAnswer:
    return _alike(place, place.tokens[which], f"dibs_0123456789abcdef_{'x' * 43}")


def _of_another_role(place: Place, by: str, method: str, path: str) -> RawAnswer:
    return place.send(method, path, {}, by=by)


def _in_the_query(place: Place) -> RawAnswer:
    answer = place.send("GET", f"/v1/runs?token={place.tokens[CLIENT]}", by=None)
    assert place.tokens[CLIENT].encode() not in answer.body
    return answer


def _in_odd_places(place: Place) -> RawAnswer:
    headers = {
        "Authorization": f"Bearer dibs_0123456789abcdef_{CANARY}",
        "Dibs-On-Behalf-Of": f"Bearer dibs_0123456789abcdef_{CANARY}",
        "Cookie": f"session={CANARY}",
        "forest-secret-key": CANARY,
        "X-Request-Id": f"{CANARY} {CANARY}",
    }
    answer = place.send("GET", f"/v1/runs?token={CANARY}", by=None, headers=headers)
    assert CANARY.encode() not in answer.body
    assert CANARY not in str(answer.headers)
    return answer


def _on_behalf_of_nobody(place: Place) -> RawAnswer:
    headers = {
        "Dibs-On-Behalf-Of": f"Bearer dibs_0123456789abcdef_{CANARY}",
        "Cookie": f"session={CANARY}",
        "forest-secret-key": CANARY,
    }
    answer = place.send("GET", "/v1/whoami", by=EXECUTOR, headers=headers)
    assert CANARY.encode() not in answer.body
    return answer


def _spoofed(place: Place) -> RawAnswer:
    answer = place.send(
        "GET",
        "/v1/whoami",
        headers={
            "X-Executor-Id": "somebody",
            "X-Forwarded-For": "10.0.0.1",
            "X-Forwarded-Host": "evil.example",
            "X-Real-IP": "10.0.0.1",
            "Forwarded": "for=10.0.0.1;host=evil.example",
        },
    )
    assert b'"name":"client"' in answer.body
    assert b"evil" not in answer.body
    return answer


CASES: Final = (
    Case("B1", "read", partial(_without_any, method="GET", path="/v1/runs"), (UNAUTHENTICATED,)),
    Case(
        "B1", "claim", partial(_without_any, method="POST", path="/v1/claims"), (UNAUTHENTICATED,)
    ),
    *(
        Case("B2", what, partial(_with, authorization=authorization), (UNAUTHENTICATED,))
        for what, authorization in {
            "empty": b"",
            "only the scheme": b"Bearer",
            "nonsense": b"Bearer nonsense",
            "Basic": b"Basic dXNlcjpwYXNz",
            "ten kilobytes": b"Bearer dibs_" + b"x" * 10_000,
            "no ASCII": b"Bearer dibs_\xff_\xff",
        }.items()
    ),
    Case("B2", "two of them", _twice, (UNAUTHENTICATED,)),
    Case("B3", "unknown key id and wrong secret", _unknown_or_wrong, (UNAUTHENTICATED,)),
    Case("B4", "revoked", partial(_no_longer_good, which=REVOKED), (UNAUTHENTICATED,)),
    Case("B4", "expired", partial(_no_longer_good, which=EXPIRED), (UNAUTHENTICATED,)),
    *(
        Case(
            "B5",
            f"{by} and {path}",
            partial(_of_another_role, by=by, method=method, path=path),
            (INSUFFICIENT_SCOPE,),
        )
        for by, method, path in (
            (CLIENT, "POST", "/v1/claims"),
            (CLIENT, "POST", "/v1/queues/default/pause"),
            (EXECUTOR, "POST", "/v1/runs"),
            (OPERATOR, "POST", "/v1/reports"),
            (VIEWER, "POST", "/v1/bulk/abort"),
        )
    ),
    Case("B10", "in the query", _in_the_query, (UNAUTHENTICATED,)),
    Case("B10", "in odd places", _in_odd_places, (UNAUTHENTICATED,)),
    Case("B10", "on behalf of nobody", _on_behalf_of_nobody, (UNAUTHENTICATED,)),
    Case("B59", "spoofed", _spoofed, (SERVED,)),
)
