"""Clients' own logs, held against the ledger."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime, timedelta
from itertools import islice
from pathlib import Path
from uuid import UUID

from sqlalchemy import Engine

from orchestrator.audit.client_log import Entry, read_log
from orchestrator.audit.facts import Fact, Granted, LeaseRefused
from orchestrator.audit.finding import Finding, Rule, short
from orchestrator.audit.told import Created, facts_of
from orchestrator.auditor.checked import Checked, OnPage, unheard
from orchestrator.store import audit, leases
from orchestrator.store.audit import Content
from orchestrator.store.records import text_of

ENTRIES_OF_A_PAGE = 200


def audit_client_logs(
    engine: Engine,
    checked: Checked,
    files: Iterable[Path],
    *,
    retention_days: int,
    on_page: OnPage = unheard,
) -> Iterator[Finding]:
    """
    Check that whatever clients were told is in the ledger, with the same content.

    The leases that the logs name are kept in memory; all else page by page.

    Args:
        retention_days: A run that is gone may have been pruned when what was told
            of it is older; 0: never.

    Raises:
        BadEntry: A line is no entry of a client's log.
    """
    holders: dict[UUID, tuple[str, str]] = {}
    with audit.moment(engine) as connection:
        now = leases.server_time(connection)
    kept_since = now - timedelta(days=retention_days) if retention_days else None
    for file in files:
        entries = read_log(file)
        while page := list(islice(entries, ENTRIES_OF_A_PAGE)):
            yield from _check_entries(engine, checked, page, holders, kept_since)
            checked.client_entries += len(page)
            on_page(checked)


def _check_entries(
    engine: Engine,
    checked: Checked,
    entries: Sequence[Entry],
    holders: dict[UUID, tuple[str, str]],
    kept_since: datetime | None,
) -> Iterator[Finding]:
    told = [(entry, fact) for entry in entries for fact in facts_of(entry)]
    run_ids = sorted({fact.run_id for _, fact in told})
    created = sorted({fact.run_id for _, fact in told if isinstance(fact, Created)})
    with audit.moment(engine) as connection:
        histories = {each.run_id: each for each in audit.histories_of(connection, run_ids)}
        contents = audit.contents_of(connection, created)
    for entry, fact in told:
        checked.facts += 1
        history = histories.get(fact.run_id)
        if history is not None:
            rule = Rule.WINNER_REFUSED if isinstance(fact, LeaseRefused) else Rule.TOLD_OTHERWISE
            for denial in (
                *fact.denials(history),
                *_denied_content(fact, contents.get(fact.run_id)),
            ):
                yield Finding(fact.run_id, rule, f"{denial} ({entry.place})")
        elif kept_since is not None and entry.sent < kept_since:
            checked.pruned += 1
        else:
            what = f"{entry.proc} was told of a run that does not exist ({entry.place})"
            yield Finding(fact.run_id, Rule.TOLD_BUT_GONE, what)
        if isinstance(fact, Granted):
            holder = (entry.proc, fact.request_id)
            first = holders.setdefault(fact.lease_id, holder)
            if first != holder:
                what = (
                    f"{short(fact.lease_id)} was handed to {first[0]} for request {first[1]} "
                    f"and to {holder[0]} for {holder[1]} ({entry.place})"
                )
                yield Finding(fact.run_id, Rule.HANDED_OUT_TWICE, what)


def _denied_content(fact: Fact, content: Content | None) -> Iterator[str]:
    if not isinstance(fact, Created) or fact.workflow is None or content is None:
        return
    asked = (fact.workflow, fact.queue, fact.input)
    if asked != (content.workflow, content.queue, json.loads(text_of(content.input))):
        yield "it was created with another workflow, queue or input than was asked for"
