"""What a run carries is data, whatever it looks like: B70."""

from typing import Final

import orjson

from tests.acceptance.client import outcome_of
from tests.contract.raw_http import RawAnswer
from tests.hostile.case import SERVED, Case
from tests.hostile.place import Place, a_queue

NASTY: Final = {
    "formula": "=cmd|' /C calc'!A0",
    "markup": "<script>alert(1)</script>",
    "template": "{{7*7}} ${7*7} %s %n",
    "escapes": "\x1b[31mred\x1b[0m \x07 \u202e \u2028 \x7f \x9b",
    "emoji": "\U0001f600",
    "large": 2**53 + 1,
    "tiny": 1e-300,
    "__proto__": {"polluted": True},
    "": {"deep": [[[[[[]]]]]]},
}


def _input_comes_back(place: Place) -> RawAnswer:
    run_id = place.create(a_queue(), input=NASTY)
    answer = place.send("GET", f"/v1/runs/{run_id}")
    assert orjson.loads(answer.body)["input"] == NASTY
    return _as_data(answer)


def _message_comes_back(place: Place) -> RawAnswer:
    message = "\n".join(text for text in NASTY.values() if isinstance(text, str))
    error = {"status": "error", "message": message, "retryable": False}
    dispatch = place.held(a_queue())
    place.report(outcome_of(dispatch, error))
    answer = place.send("GET", f"/v1/runs/{dispatch['run']['id']}")
    assert orjson.loads(answer.body)["error"]["message"] == message
    return _as_data(answer)


def _as_data(answer: RawAnswer) -> RawAnswer:
    assert answer.headers["content-type"] == "application/json"
    for control in (b"\x1b", b"\x07", b"\n"):
        assert control not in answer.body
    return answer


CASES: Final = (
    Case("B70", "input", _input_comes_back, (SERVED,), writes=True),
    Case("B70", "message", _message_comes_back, (SERVED,), writes=True),
)
