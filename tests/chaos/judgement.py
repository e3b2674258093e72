"""What became of an installation's runs, as `dibs audit verify` and its clients' logs say."""

from __future__ import annotations

import subprocess
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

import orjson
import psycopg

from orchestrator.audit.finding import Rule
from tests.acceptance.processes import Orchestrator, environment, python
from tests.chaos.fault import Fault
from tests.chaos.site import Site

LOST = frozenset({Rule.TOLD_BUT_GONE})
DOUBLED = frozenset(
    {
        Rule.AFTER_THE_END,
        Rule.SECOND_RESULT,
        Rule.LEASE_OVERLAP,
        Rule.LEASE_USED_AGAIN,
        Rule.HANDED_OUT_TWICE,
    }
)
SURPRISE = "request_failed"
"""What an orchestrator logs with each answer of 500."""
STALE = frozenset({Rule.FOREIGN_LEASE, Rule.NOT_THE_HOLDER, Rule.FENCE_NOT_GROWING})


def judge(site: Site, fault: Fault) -> None:
    """
    Hold all runs of a site to what must hold under any fault, and write down what was found.

    Every run whose creation was answered must be finished by now, and each of its
    steps executed.

    Raises:
        AssertionError: Something does not hold.
    """
    audited = audit(site.database.owner_url, site.logs)
    found = {rule: set() for rule in Rule} | runs_by_rule(audited)
    unfinished = set(site.lengths) - _finished(site)
    fault.core(
        runs=len(site.lengths),
        lost=len(unfinished.union(*(found[rule] for rule in LOST))),
        doubled=len(set().union(*(found[rule] for rule in DOUBLED))),
        stale=len(set().union(*(found[rule] for rule in STALE))),
        answered_500=sum(one.status == 500 for one in site.exchanges()),
    )
    assert audited["holds"], audited["findings"]
    begun = {entry.idempotency_key for entry in site.journal.entries()}
    assert begun >= {
        f"{run_id}:{number}" for run_id, length in site.lengths.items() for number in range(length)
    }


def require_no_500(orchestrator: Orchestrator) -> None:
    """
    Look through its log, where no proxy has seen what it answered.

    Raises:
        AssertionError: It was surprised by a request, and said so by a 500.
    """
    assert orchestrator.said(SURPRISE) == [], orchestrator.name


def audit(owner_url: str, logs: Sequence[Path]) -> dict[str, Any]:
    """What `dibs audit verify` says of a database and these logs of clients."""
    words = [word for log in logs for word in ("--client-log", str(log))]
    ended = subprocess.run(
        python("orchestrator", "audit", "verify", "--retention-days", "0", "--json", *words),
        capture_output=True,
        check=False,
        env=environment({"DATABASE_URL": owner_url}),
    )
    assert ended.stdout, ended.stderr.decode()
    said: dict[str, Any] = orjson.loads(ended.stdout)
    return said


def runs_by_rule(audited: dict[str, Any]) -> dict[Rule, set[str]]:
    """The runs that break each rule, of the findings that are shown."""
    found: dict[Rule, set[str]] = {}
    for finding in audited["findings"]:
        found.setdefault(Rule(finding["rule"]), set()).add(finding["runId"])
    return found


def _finished(site: Site) -> set[str]:
    with closing(psycopg.connect(site.database.owner_url)) as owner:
        rows = owner.execute(
            """SELECT id::text FROM "workflowRuns" WHERE "runState" = 'finished'"""
        )
        return {run_id for (run_id,) in rows}
