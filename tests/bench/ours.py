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
from uuid import uuid4

from orchestrator.desk.claim_desk import ClaimDesk
from orchestrator.desk.report_desk import ReportDesk
from orchestrator.desk.signs_of_life import SignsOfLife
from orchestrator.desk.starting_points import StartingPoints
from orchestrator.store.engine import open_database
from tests.bench import desks
from tests.bench.pgbench import Script
from tests.integration.statements import Statement, captured

EXECUTOR = "bench:pgbench"

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
            dispatches = desks.claim(
                ClaimDesk(
                    database,
                    SignsOfLife(),
                    StartingPoints(),
                    parked_limit=0,
                    draining=threading.Event(),
                ),
                executor=EXECUTOR,
                session=uuid4(),
                request_id=request_id,
                limit=limit,
            )
        with captured(database.leases) as reported:
            desks.report(ReportDesk(database), dispatches, output="null")
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
