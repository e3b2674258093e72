"""`dibs audit verify`: whether the ledger holds, on DATABASE_URL."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from itertools import islice
from pathlib import Path
from uuid import UUID

import click
import rich_click
from sqlalchemy import Engine

from orchestrator.audit.client_log import BadEntry
from orchestrator.audit.finding import Finding
from orchestrator.auditor.checked import Checked, OnPage
from orchestrator.auditor.clients import audit_client_logs
from orchestrator.auditor.ledger import audit_ledger, audit_run
from orchestrator.cli.audit_progress import shown_progress
from orchestrator.cli.database import database_from_environment
from orchestrator.cli.failure import REFUSED, USAGE, Failure
from orchestrator.cli.output import print_fields, print_json, printable, say
from orchestrator.store.audit import extent, moment
from orchestrator.store.engine import open_engine

SHOWN_FINDINGS = 100


@click.command(cls=rich_click.RichCommand)
@click.option("--run", "run_id", type=click.UUID, help="Check this run alone.")
@click.option(
    "--client-log",
    "client_logs",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    multiple=True,
    help="Check also what this log's clients were told (docs/auditing.md); may be repeated.",
)
@click.option(
    "--retention-days",
    type=click.IntRange(min=0),
    default=30,
    show_default=True,
    envvar="DIBS_RETENTION_DAYS",
    help="With --client-log: what is older may be gone; 0 for never.",
)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")
def verify(
    run_id: UUID | None, client_logs: tuple[Path, ...], retention_days: int, as_json: bool
) -> None:
    """
    Hold every run's ledger to the rules, on a database that may be in use.

    Names each run of which something does not hold, and what; exits 1 then. The
    first 100 findings are shown, the others counted.

    \b
    dibs audit verify
    dibs audit verify --run 01980000-0000-7000-8000-000000000001
    dibs audit verify --client-log executor-1.jsonl --client-log web.jsonl --json
    """
    checked = Checked()
    with _engine() as engine, shown_progress(_about_runs(engine)) as on_page:
        try:
            findings = _findings(engine, checked, run_id, client_logs, retention_days, on_page)
            shown = list(islice(findings, SHOWN_FINDINGS))
            found = len(shown) + sum(1 for _ in findings)
        except BadEntry as error:
            raise Failure(f"{error}.", USAGE) from error
    if run_id is not None and not checked.events and not found:
        raise Failure(f"There is no run {run_id}.", REFUSED)
    _print(checked, shown, found, as_json=as_json)
    if found:
        raise Failure(f"The ledger does not hold: {found} findings.", REFUSED)


def _findings(
    engine: Engine,
    checked: Checked,
    run_id: UUID | None,
    client_logs: tuple[Path, ...],
    retention_days: int,
    on_page: OnPage,
) -> Iterator[Finding]:
    if run_id is None:
        yield from audit_ledger(engine, checked, on_page=on_page)
    else:
        yield from audit_run(engine, checked, run_id)
    yield from audit_client_logs(
        engine, checked, client_logs, retention_days=retention_days, on_page=on_page
    )


def _print(checked: Checked, shown: list[Finding], found: int, *, as_json: bool) -> None:
    if as_json:
        print_json(
            {
                "holds": not found,
                "checked": {_camel(name): value for name, value in asdict(checked).items()},
                "findings": [
                    {
                        "runId": str(each.run_id),
                        "seq": each.seq,
                        "rule": each.rule,
                        "what": each.what,
                    }
                    for each in shown
                ],
                "found": found,
            }
        )
        return
    for each in shown:
        say(printable(str(each)))
    if found > len(shown):
        say(f"and {found - len(shown)} more")
    print_fields(
        (name.replace("_", " "), value)
        for name, value in asdict(checked).items()
        if value or name == "runs"
    )


def _camel(name: str) -> str:
    first, *others = name.split("_")
    return first + "".join(word.capitalize() for word in others)


def _about_runs(engine: Engine) -> int | None:
    with moment(engine) as connection:
        return extent(connection).about_runs


@contextmanager
def _engine() -> Iterator[Engine]:
    engine = open_engine(database_from_environment(), connections=1, name="dibs-audit")
    try:
        yield engine
    finally:
        engine.dispose()
