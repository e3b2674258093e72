"""Queues that a token covers, and what two tokens have in common."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.api.queue_access import common_patterns, require_queues
from orchestrator.api.tokens import Caller
from orchestrator.errors import InsufficientScope
from orchestrator.lifecycle import Role, covers

names = st.lists(st.sampled_from(["a", "b", "ab"]), min_size=1, max_size=3).map(".".join)
patterns = st.lists(st.just("*") | names | names.map(lambda name: f"{name}.*"), max_size=3).map(
    tuple
)


@given(patterns, patterns, names)
def test_what_is_common_covers_what_both_cover(ours, theirs, queue):
    both = covers(ours, queue) and covers(theirs, queue)

    assert covers(common_patterns(ours, theirs), queue) == both


@pytest.mark.parametrize("queue", ["billing", "billings", "other", "BILLING.a"])
def test_a_queue_outside_the_token_is_refused(queue):
    who = Caller("k", "web", Role.CLIENT, ("default", "billing.*"), None)

    require_queues(who, ["default", "billing.eu", "billing.eu.west"])
    with pytest.raises(InsufficientScope):
        require_queues(who, ["default", queue])
