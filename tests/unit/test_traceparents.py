"""What a `traceparent` of anybody's is taken for."""

import pytest

from orchestrator.tracing import span_context_of, traceparent_of

TRACE, SPAN = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
GOOD = f"00-{TRACE}-{SPAN}-01"


@pytest.mark.parametrize("said", [GOOD, f"cc-{TRACE}-{SPAN}-01-of-a-later-version"])
def test_what_is_kept_is_of_the_present_version(said: str) -> None:
    context = span_context_of(said)

    assert context is not None
    assert traceparent_of(context) == GOOD


@pytest.mark.parametrize(
    "said",
    [
        "",
        f"ff-{TRACE}-{SPAN}-01",
        f"00-{TRACE.upper()}-{SPAN}-01",
        f"00-{'0' * 32}-{SPAN}-01",
        f"{GOOD},{GOOD}",
        f"00-{TRACE}-{SPAN}-0é",
        f"{GOOD}{'-x' * 300}",
    ],
)
def test_anything_else_is_no_span_and_not_worth_a_line(
    said: str, caplog: pytest.LogCaptureFixture
) -> None:
    assert span_context_of(said) is None
    assert caplog.records == []
