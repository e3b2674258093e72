"""Every rule that one run's history alone can be held to."""

from __future__ import annotations

from collections.abc import Iterator

from orchestrator.audit.finding import Finding, Rule, short
from orchestrator.audit.history import Grant, History
from orchestrator.audit.leases import check_leases
from orchestrator.audit.order import check_order
from orchestrator.audit.results import check_results
from orchestrator.audit.row import check_row


def check_history(history: History) -> Iterator[Finding]:
    """What does not hold of a run; nothing when everything does."""
    yield from check_order(history)
    yield from check_leases(history)
    yield from check_results(history)
    yield from check_row(history)


def check_grant(grant: Grant) -> Iterator[Finding]:
    """A lease that a claim request got was granted to its token and for it, says the ledger too."""
    if not grant.run_exists or (grant.claimed_by, grant.claimed_for) == (
        grant.token_name,
        str(grant.request_id),
    ):
        return
    got = f"request {grant.request_id} of {grant.token_name} got {short(grant.lease_id)}"
    ledger = (
        "the ledger has no such claim"
        if grant.claimed_for is None
        else f"the ledger has it for request {grant.claimed_for} of {grant.claimed_by}"
    )
    yield Finding(grant.run_id, Rule.GRANT_DISAGREES, f"{got}, {ledger}")
