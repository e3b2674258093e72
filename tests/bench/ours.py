"""The product's own statements as pgbench scripts.

The desks do their work once on a session that is listened to. What they sent
is the script: the same statements in the same order, in one transaction where
they used one. Their values become variables of pgbench, so that the server
gets parameters as it gets them from the product. Three things differ, all in
pgbench's favour: a claim's rows are folded into two arrays (it can keep one
row), nobody turns them into JSON, and a report waits for a row where the desk
leaves it out and comes back for it in a second transaction.
"""

import re
import threading
from collections.abc import Callable, Sequence
from typing import Any
from uuid import UUID, uuid4

from orchestrator.desk.claim_batch import Wish
from orchestrator.desk.claim_desk import ClaimDesk
from orchestrator.desk.report_desk import ReportDesk
from orchestrator.desk.signs_of_life import SignsOfLife
from orchestrator.store.engine import Database, open_database
from orchestrator.store.records import Dispatch
from orchestrator.store.reports import Report
from tests.bench.backlog import QUEUE
from tests.bench.failure import BenchError
from tests.bench.pgbench import Script
from tests.integration.statements import Statement, captured

TOKEN_NAME = "bench"
EXECUTOR = "bench:pgbench"
LEASE_SECONDS = 3_600

# A request id that is new each time, made of a number that pgbench draws.
_DRAW = "\\set drawn random(1, 9223372036854775807)\n"
_DRAWN_ID = "md5(CAST(:drawn AS text))::uuid"
_PARAMETER = re.compile(r"%\((\w+)\)s")
# A claim may hold a row that another has just claimed, until it sees that it came too late.
_LEAVES_OUT, _WAITS = "FOR UPDATE OF r SKIP LOCKED", "FOR UPDATE OF r"
_FOLDED = """
SELECT array_agg(l.id)::text AS run_ids, array_agg(l."leaseId")::text AS lease_ids FROM leased l
\\gset
"""


def claim_script(service_url: str, limit: int) -> Script:
    """One claim of so many runs."""
    return _scripts(service_url, limit)[0]


def cycle_script(service_url: str, limit: int) -> Script:
    """One claim of so many runs, and one report of their success."""
    claim, report = _scripts(service_url, limit)
    return Script(claim.text + report.text, {**claim.variables, **report.variables})


def _scripts(service_url: str, limit: int) -> tuple[Script, Script]:
    request_id = uuid4()
    database = open_database(service_url, work_connections=1, lease_connections=1, name="bench")
    try:
        with captured(database.work) as claimed:
            dispatches = _claim(database, request_id, limit)
        with captured(database.leases) as reported:
            _report(database, dispatches)
    finally:
        database.close()
    run_ids = [dispatch.run.id for dispatch in dispatches]
    lease_ids = [dispatch.lease.id for dispatch in dispatches]

    def moving(value: object) -> str | None:
        if value == request_id:
            return _DRAWN_ID
        if value == [request_id]:
            return f"ARRAY[{_DRAWN_ID}]"
        if value == run_ids:
            return ":run_ids"
        return ":lease_ids" if value == lease_ids else None

    return (
        _script(claimed, "c", moving, before=_DRAW),
        _waiting(_script(reported, "r", moving)),
    )


def _claim(database: Database, request_id: UUID, limit: int) -> Sequence[Dispatch]:
    desk = ClaimDesk(database, SignsOfLife(), parked_limit=0, draining=threading.Event())
    wish = Wish(
        token_name=TOKEN_NAME,
        executor=EXECUTOR,
        session=uuid4(),
        request_id=request_id,
        body_hash=bytes(32),
        queues=(QUEUE,),
        limit=limit,
        lease_seconds=LEASE_SECONDS,
        wait_seconds=0,
    )
    dispatches = desk.claim(wish).dispatches
    if len(dispatches) != limit:
        raise BenchError(f"a claim of {limit} runs got {len(dispatches)}")
    return dispatches


def _report(database: Database, dispatches: Sequence[Dispatch]) -> None:
    reports = [
        Report(
            token_name=TOKEN_NAME,
            run_id=dispatch.run.id,
            lease_id=dispatch.lease.id,
            step_index=0,
            status="success",
            outcome_hash=bytes(32),
            output="null",
            request_id=str(uuid4()),
        )
        for dispatch in dispatches
    ]
    if {answer.status for answer in ReportDesk(database).report(reports)} != {"finished"}:
        raise BenchError("a report was refused")


def _script(
    statements: Sequence[Statement],
    prefix: str,
    moving: Callable[[object], str | None],
    *,
    before: str = "",
) -> Script:
    variables: dict[str, str] = {}
    texts = []
    for number, statement in enumerate(statements):

        def variable(found: re.Match[str], number: int = number, it: Statement = statement) -> str:
            value = it.values[found[1]]
            if value is None:
                return "NULL"
            if expression := moving(value):
                return expression
            name = f"{prefix}{number}_{found[1]}"
            variables[name] = as_text(value)
            return f":{name}"

        text = _PARAMETER.sub(variable, statement.text).replace("%%", "%").strip()
        head, _, last = text.rpartition("\nSELECT ")
        texts.append(head + _FOLDED if "leased l" in last else text + ";\n")
    return Script(before + "BEGIN;\n" + "".join(texts) + "COMMIT;\n", variables)


def _waiting(report: Script) -> Script:
    return Script(report.text.replace(_LEAVES_OUT, _WAITS), report.variables)


def as_text(value: Any) -> str:
    """A value as Postgres reads it from text; a list is an array."""
    match value:
        case list():
            return "{" + ",".join("NULL" if item is None else _quoted(item) for item in value) + "}"
        case bytes():
            return "\\x" + value.hex()
        case _:
            return str(value)


def _quoted(item: Any) -> str:
    escaped = as_text(item).replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'
