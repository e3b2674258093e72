"""Every statement that the product sends, as the driver gets it: tests/golden/statements.sql."""

from __future__ import annotations

import inspect
import pkgutil
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime
from importlib import import_module
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import Connection, Engine

from orchestrator import store
from orchestrator.lifecycle import ActKind
from orchestrator.store import (
    activity,
    acts,
    audit,
    bulk_acts,
    census,
    claim_requests,
    claims,
    compat_executors,
    compat_leases,
    compat_runs,
    endings,
    events,
    excerpts,
    executors,
    explain,
    gates,
    health,
    incidents,
    keeper,
    leases,
    limits,
    lock_waits,
    operator_acts,
    orphans,
    outcomes,
    parked,
    queues,
    refusals,
    replication,
    reports,
    run_search,
    runs,
    schedules,
    serving,
    serving_role,
    steps,
    tokens,
    vitals,
    workflows,
)
from orchestrator.store.engine import open_engine
from orchestrator.store.parked import Parked
from orchestrator.store.run_filter import RunFilter
from tests.database import Database
from tests.golden.compare import matches_golden
from tests.integration.statements import captured
from tests.integration.wishes import new_run

ID = UUID("01900000-0000-7000-8000-000000000001")
THEN = datetime(2026, 1, 1, tzinfo=UTC)
ACT = acts.Act(ID, "web", "request", "key", "reason", b"h")
NOTED = operator_acts.OperatorAct(ID, "ops", ActKind.PAUSE_QUEUE, "default", detail={"a": 1})
ACTS = operator_acts.ActFilter("ops", ActKind.PAUSE_QUEUE, "default")
BULK = bulk_acts.BulkKey("ops", "key")
HELD = [leases.HeldLease("fleet", ID, ID)]
REPORT = [reports.Report("fleet", ID, ID, 0, "success", b"h", "{}")]
TOKEN: dict[str, Any] = {
    "key_id": "k",
    "name": "web",
    "role": "client",
    "secret_hash": b"h" * 32,
    "queues": ("*",),
    "lasts": None,
    "development": False,
    "compat_hash": None,
}
REGISTRATION = executors.Registration("fleet:one", ID, "fleet", None, 1, (), (), "{}", None)
WISH = claims.ClaimWish(ID, "fleet", "fleet:one", ID, b"h", 30, 1)
RUN_WISH = claims.RunWish(ID, "fleet", "fleet:one", ID, 30, ID, None)
ORPHANS = orphans.Reconciliation("fleet", ID, (ID,), THEN)
REQUEST = claim_requests.ClaimRequest("fleet", ID, ID, b"h")
DEFINITION = workflows.NewDefinition("refund", "{}", "a", '{"a": {}}', b"h", "ops")
SCHEDULE = schedules.NewSchedule(
    "nightly", "report", "0 2 * * *", "UTC", "{}", "default", "skip", False, THEN, "ops"
)
AT = {"executor": "forest", "address": "192.0.2.1"}
REFUSED = refusals.Refused(1, [(1.0, refusals.Refusal("run-held", "fleet:one", "web", ID))])
FILTER = RunFilter(("pending", "failed"), "billing", "refund", "fleet:one", THEN)
SOUGHT = (
    replace(FILTER, states=("aborted", "failed"), executor=None),
    replace(FILTER, states=("finished",), executor=None),
    RunFilter(waiting_reason="input", dedup_key="key", words=("refund",)),
    RunFilter(executor="fleet:one"),
    RunFilter(("pending",)),
    RunFilter(ids=(ID,)),
)

CALLS: dict[str, Callable[[Connection], object]] = {
    "runs.create": lambda c: (
        runs.create(c, [new_run()]),
        runs.create(c, [new_run()], asked_by=runs.AskedBy("ops", "k")),
    ),
    "runs.find": lambda c: runs.find(c, ID),
    "runs.find_by_idempotency_key": lambda c: runs.find_by_idempotency_key(c, "web", "key"),
    "runs.find_live_by_dedup_key": lambda c: runs.find_live_by_dedup_key(
        c, queue="default", workflow="refund", dedup_key="key"
    ),
    "runs.list_runs": lambda c: runs.list_runs(
        c, queue_patterns=("billing", "refunds.*"), wanted=FILTER, before=ID, limit=50
    ),
    "runs.newest_id": runs.newest_id,
    "run_search.scan_runs": lambda c: (
        [
            run_search.scan_runs(
                c,
                queue_patterns=("billing", "refunds.*"),
                wanted=wanted,
                before=ID,
                limit=50,
                most_found=most_found,
            )
            for wanted in SOUGHT
            for most_found in ((None, 10) if wanted is SOUGHT[0] else (10,))
        ]
        + [
            run_search.scan_runs(
                c,
                queue_patterns=("billing", "refunds"),
                wanted=RunFilter(),
                before=ID,
                limit=50,
                most_found=10,
            )
        ]
    ),
    "run_search.find_by_word": lambda c: run_search.find_by_word(c, "refund", limit=50),
    "run_search.find_in_states": lambda c: run_search.find_in_states(
        c, queue_patterns=("billing", "refunds.*"), wanted=FILTER, reach=50, limit=10
    ),
    "run_search.lines_of": lambda c: run_search.lines_of(c, [ID]),
    "events.events_of": lambda c: events.events_of(c, ID),
    "events.newest_events": lambda c: events.newest_events(c, ID, limit=50),
    "steps.steps_of": lambda c: steps.steps_of(c, ID),
    "steps.used_outputs": lambda c: steps.used_outputs(c, [ID]),
    "excerpts.payload_excerpts": lambda c: excerpts.payload_excerpts(c, ID, characters=100),
    "excerpts.step_excerpts": lambda c: excerpts.step_excerpts(c, ID, limit=50, characters=100),
    "explain.see_one_moment": explain.see_one_moment,
    "explain.surroundings": lambda c: explain.surroundings(c, ID),
    "explain.leased_from": lambda c: explain.leased_from(c, "default"),
    "explain.groups_polling": lambda c: explain.groups_polling(c, "default", step_type="refund"),
    "explain.runs_ahead": lambda c: explain.runs_ahead(c, ID),
    "claim_requests.lock": lambda c: claim_requests.lock(c, REQUEST.key),
    "claim_requests.lock_free": lambda c: claim_requests.lock_free(c, [REQUEST.key]),
    "claim_requests.granted": lambda c: claim_requests.granted(c, [REQUEST.key]),
    "claim_requests.keep": lambda c: claim_requests.keep(c, REQUEST, run_id=ID, lease_id=ID),
    "claim_requests.drop_old": lambda c: claim_requests.drop_old(c, limit=1),
    "bulk_acts.begin": lambda c: bulk_acts.begin(c, BULK, body_hash=b"h", before=ID),
    "bulk_acts.progress": lambda c: bulk_acts.progress(c, BULK),
    "bulk_acts.advance": lambda c: bulk_acts.advance(c, BULK, past=ID, changed=True, refused=False),
    "bulk_acts.skip": lambda c: bulk_acts.skip(c, BULK, through=ID),
    "bulk_acts.end": lambda c: bulk_acts.end(c, BULK),
    "bulk_acts.drop_old": bulk_acts.drop_old,
    "gates.let_in": lambda c: gates.let_in(c, [("default", "key")]),
    "gates.hold": lambda c: gates.hold(c, ID, ("default", "key")),
    "gates.standing": lambda c: gates.standing(c, ID, ("default", "key")),
    "gates.hold_back": lambda c: gates.hold_back(c, [("default", "key")]),
    "gates.keys_after": lambda c: gates.keys_after(c, gates.NOWHERE, limit=200),
    "limits.put": lambda c: limits.put(c, limits.NewLimits("default", 8, 10, 2, "ops")),
    "limits.hold": lambda c: limits.hold(c, ["default"]),
    "limits.look": lambda c: limits.look(c, "default"),
    "limits.count_leases": lambda c: limits.count_leases(c, "default"),
    "limits.note_grants": lambda c: limits.note_grants(c, [limits.Grant("default", 1, 1)]),
    "limits.limited_among": lambda c: limits.limited_among(c, ["default"]),
    "claims.claim": lambda c: claims.claim(c, "default", [WISH]),
    "claims.first_keys": lambda c: claims.first_keys(c, ["default"]),
    "claims.claim_run": lambda c: claims.claim_run(c, RUN_WISH),
    "claims.still_held": lambda c: claims.still_held(
        c, token_name="fleet", run_ids=[ID], lease_ids=[ID], lease_seconds=30
    ),
    "claims.held_dispatches": lambda c: claims.held_dispatches(c, run_ids=[ID], lease_ids=[ID]),
    "compat_runs.hand_over": lambda c: compat_runs.hand_over(
        c, [(ID, ID)], key_id="k", address="192.0.2.1", polled=True
    ),
    "compat_runs.note_refused": lambda c: compat_runs.note_refused(
        c, 7, token_name="forest", step_index=0, fence=1
    ),
    "compat_runs.was_refused": lambda c: compat_runs.was_refused(c, 7),
    "compat_runs.set_lengths": lambda c: compat_runs.set_lengths(
        c, [compat_runs.Length(ID, ID, 345)]
    ),
    "compat_runs.run_id_of": lambda c: compat_runs.run_id_of(c, 7),
    "compat_runs.find": lambda c: compat_runs.find(c, 7, token_name="forest"),
    "compat_runs.lease_that_reported": lambda c: compat_runs.lease_that_reported(
        c, ID, token_name="forest", step_index=0
    ),
    "compat_runs.past_steps": lambda c: compat_runs.past_steps(c, [ID], most=200),
    "compat_runs.definition_of": lambda c: compat_runs.definition_of(c, 7),
    "compat_leases.end_dropped": lambda c: compat_leases.end_dropped(
        c, **AT, session=ID, request_id="r"
    ),
    "compat_leases.end_replaced": lambda c: compat_leases.end_replaced(c, **AT, request_id="r"),
    "compat_leases.expect_a_sign": lambda c: compat_leases.expect_a_sign(c, **AT),
    "compat_executors.sight": lambda c: compat_executors.sight(
        c, "forest", address="192.0.2.1", session=ID, starts=True
    ),
    "compat_executors.serve": lambda c: compat_executors.serve(c, "forest", ID, ["default"]),
    "compat_executors.second_addresses": compat_executors.second_addresses,
    "census.pending_queues": census.pending_queues,
    "lock_waits.wait_briefly": lock_waits.wait_briefly,
    "parked.look": lambda c: parked.look(
        c, queues=["default"], most=1, keys=[REQUEST.key], processes=[("fleet:one", ID)]
    ),
    "leases.server_time": leases.server_time,
    "leases.renew": lambda c: leases.renew(c, HELD),
    "leases.count_live": leases.count_live,
    "leases.cap_expiries": lambda c: leases.cap_expiries(c, limit=1),
    "leases.far_run_ids": lambda c: leases.far_run_ids(c, limit=1),
    "leases.start_step": lambda c: leases.start_step(c, HELD, step_indexes=[0]),
    "endings.release": lambda c: endings.release(c, HELD, reason="draining"),
    "endings.released_lately": lambda c: endings.released_lately(c, HELD),
    "endings.release_replaced": lambda c: endings.release_replaced(
        c, executor="fleet:one", session=ID, request_id=None, actor="fleet"
    ),
    "endings.revoke": lambda c: endings.revoke(c, after=ID, limit=1),
    "endings.expire": lambda c: endings.expire(c, since=THEN, limit=1),
    "endings.expired_run_ids": lambda c: endings.expired_run_ids(c, limit=1),
    "orphans.release_orphans": lambda c: orphans.release_orphans(c, ORPHANS, named=[ID]),
    "orphans.with_orphans": lambda c: orphans.with_orphans(c, [(ORPHANS, [ID])]),
    "reports.report": lambda c: reports.report(c, REPORT),
    "reports.stored": lambda c: reports.stored(c, REPORT),
    "reports.current_steps": lambda c: reports.current_steps(c, REPORT),
    "acts.abort": lambda c: acts.abort(c, ACT),
    "acts.retry": lambda c: acts.retry(c, ACT),
    "acts.resume": lambda c: acts.resume(c, ACT, input_json="{}", seen_version=1),
    "acts.resolve_done": lambda c: acts.resolve_done(c, ACT, output_json="{}", next_step=None),
    "acts.resolve_run_again": lambda c: acts.resolve_run_again(c, ACT),
    "acts.resolve_abort": lambda c: acts.resolve_abort(c, ACT),
    "acts.done_by_key": lambda c: acts.done_by_key(c, ACT),
    "acts.kind_done_lately": lambda c: acts.kind_done_lately(c, ACT),
    "operator_acts.note": lambda c: operator_acts.note(c, NOTED),
    "operator_acts.list_acts": lambda c: operator_acts.list_acts(
        c, queue_patterns=("billing", "refunds.*"), wanted=ACTS, before=ID, limit=50, down_to=ID
    ),
    "operator_acts.line_before": lambda c: operator_acts.line_before(c, ID, lines=20_000),
    "operator_acts.prune": lambda c: operator_acts.prune(c, retention_days=30, limit=1),
    "keeper.take_turn": keeper.take_turn,
    "keeper.tick": lambda c: keeper.tick(c, every_seconds=0.2, prune_every_seconds=60),
    "keeper.duties": keeper.duties,
    "keeper.make_due": lambda c: keeper.make_due(c, limit=1),
    "keeper.due_run_ids": lambda c: keeper.due_run_ids(c, limit=1),
    "keeper.time_out_waits": lambda c: keeper.time_out_waits(c, limit=1),
    "keeper.late_run_ids": lambda c: keeper.late_run_ids(c, limit=1),
    "keeper.prune": lambda c: keeper.prune(c, retention_days=30, after=ID, limit=1),
    "keeper.note_pruning": lambda c: keeper.note_pruning(c, through=ID, rest_seconds=0.2),
    "health.snapshot_holders": health.snapshot_holders,
    "serving_role.excess": serving_role.excess,
    "replication.vouch": replication.vouch,
    "outcomes.sample": lambda c: outcomes.sample(c, steps=10_000),
    "executors.register": lambda c: executors.register(c, REGISTRATION),
    "executors.list_quarantined": executors.list_quarantined,
    "executors.list_executors": lambda c: executors.list_executors(
        c, full_name="fleet:one", limit=50
    ),
    "executors.set_state": lambda c: executors.set_state(c, "fleet", "draining", reason=None),
    "executors.out_of_service": lambda c: executors.out_of_service(c, [("fleet:one", ID)]),
    "executors.holdings": lambda c: executors.holdings(c, [("fleet:one", ID)]),
    "executors.seen": lambda c: executors.seen(c, [("fleet:one", ID)]),
    "executors.drop_unseen": executors.drop_unseen,
    "parked.refused_meanwhile": lambda c: parked.refused_meanwhile(
        c, [Parked(("fleet", ID), "key", ("fleet:one", ID), 1.0)]
    ),
    "incidents.forgive": lambda c: incidents.forgive(c, "fleet:one"),
    "incidents.drop_old": incidents.drop_old,
    "queues.settings": queues.settings,
    "queues.set_paused": lambda c: queues.set_paused(c, "default", paused=True, actor="ops"),
    "queues.paused_among": lambda c: queues.paused_among(c, ["default"]),
    "census.walk_indexes": census.walk_indexes,
    "census.pending": census.pending,
    "census.resting": census.resting,
    "census.leased": census.leased,
    "serving.serving": serving.serving,
    "serving.fleet": serving.fleet,
    "activity.add": lambda c: activity.add(c, {"default": {activity.Counted.CREATED: 1}}),
    "activity.claimed_per_minute": lambda c: activity.claimed_per_minute(
        c, ["default"], minutes=60
    ),
    "activity.note_pending": lambda c: activity.note_pending(
        c, {"default": activity.Pending(1, 7)}
    ),
    "activity.series": lambda c: activity.series(
        c, span_seconds=activity.MINUTE, points=60, queue_patterns=("billing", "refunds.*")
    ),
    "activity.by_queue": lambda c: activity.by_queue(c, span_seconds=activity.MINUTE, points=5),
    "activity.finished": activity.finished,
    "activity.drop_old": lambda c: activity.drop_old(c, retention_days=30),
    "refusals.add": lambda c: refusals.add(c, {ID: REFUSED}),
    "refusals.refusals_of": lambda c: refusals.refusals_of(c, ID),
    "vitals.keeper_standing": vitals.keeper_standing,
    "vitals.executors_by_state": vitals.executors_by_state,
    "vitals.unknown_outcomes": vitals.unknown_outcomes,
    "vitals.table_sizes": vitals.table_sizes,
    "workflows.put": lambda c: workflows.put(c, DEFINITION),
    "workflows.find": lambda c: workflows.find(c, "refund"),
    "workflows.list_current": workflows.list_current,
    "workflows.summaries": lambda c: workflows.summaries(c, limit=50),
    "workflows.versions": lambda c: workflows.versions(c, "refund"),
    "workflows.served_step_types": workflows.served_step_types,
    "schedules.put": lambda c: schedules.put(c, SCHEDULE),
    "schedules.find": lambda c: schedules.find(c, "nightly"),
    "schedules.lock": lambda c: schedules.lock(c, "nightly"),
    "schedules.set_paused": lambda c: schedules.set_paused(
        c, "nightly", paused=True, next_at=THEN, actor="ops"
    ),
    "schedules.ran_now": lambda c: schedules.ran_now(c, "nightly", ID),
    "schedules.list_schedules": schedules.list_schedules,
    "schedules.delete": lambda c: schedules.delete(c, "nightly"),
    "schedules.due_names": lambda c: schedules.due_names(c, limit=1),
    "schedules.due": lambda c: schedules.due(c, limit=1),
    "schedules.fired": lambda c: schedules.fired(c, "nightly", at=THEN, run_id=ID, next_at=THEN),
    "audit.extent": audit.extent,
    "audit.histories_after": lambda c: audit.histories_after(
        c, audit.NOWHERE, through=ID, limit=500
    ),
    "audit.histories_of": lambda c: audit.histories_of(c, [ID]),
    "audit.contents_of": lambda c: audit.contents_of(c, [ID]),
    "audit.grants_after": lambda c: audit.grants_after(c, ("fleet", ID), limit=500),
    "tokens.find": lambda c: tokens.find(c, "k"),
    "tokens.version_of_active": tokens.version_of_active,
    "tokens.list_active": lambda c: tokens.list_active(c, development=False),
    "tokens.active_development_names": tokens.active_development_names,
    "tokens.mark_development": lambda c: tokens.mark_development(c, "k"),
    "tokens.list_tokens": tokens.list_tokens,
    "tokens.lock_name": lambda c: tokens.lock_name(c, "web"),
    "tokens.create": lambda c: tokens.create(c, **TOKEN),
    "tokens.revoke": lambda c: tokens.revoke(c, name="web"),
}


@pytest.fixture
def engine(database: Database) -> Iterator[Engine]:
    """The owner's: the service may not write tokens."""
    engine = open_engine(database.owner_url, connections=1, name="golden")
    yield engine
    engine.dispose()


def test_every_statement_is_the_reviewed_one(engine: Engine) -> None:
    texts = []
    for name, call in CALLS.items():
        with captured(engine) as statements, engine.connect() as connection:
            call(connection)
        texts += [f"-- {name}", *(f"{readable(each.text)};" for each in statements), ""]

    assert matches_golden("statements.sql", "\n".join(texts))


def test_no_statement_is_missing_here() -> None:
    """A function of the store that is given a connection sends a statement."""
    senders = {
        f"{module.name}.{name}"
        for module in pkgutil.iter_modules(store.__path__)
        for name, function in vars(import_module(f"orchestrator.store.{module.name}")).items()
        if inspect.isfunction(function)
        and function.__module__ == f"orchestrator.store.{module.name}"
        and not name.startswith("_")
        and next(iter(inspect.signature(function).parameters), None) == "connection"
    }

    assert senders - {"verdict.ended", "hot.together"} == set(CALLS)


def readable(text: str) -> str:
    """As it was sent but for blank lines and spaces at the ends of lines."""
    return "\n".join(line.rstrip() for line in text.splitlines() if line.strip())
