"""Queues: how deep they are, and how much is claimed from them."""

from __future__ import annotations

from flask import Response

from orchestrator.api.access import OPERATORS, WATCHERS, allow, caller
from orchestrator.api.answer import answer
from orchestrator.api.asked_act import asked_act
from orchestrator.api.blueprint import blueprint, refuses
from orchestrator.api.bodies import queue_body
from orchestrator.api.context import services
from orchestrator.api.parameters import name_of
from orchestrator.api.queue_access import require_queues
from orchestrator.api.repeats import NATURALLY, repeats
from orchestrator.api.wire.members import NoMembers
from orchestrator.api.wire.queues import Paused, QueueLimits, QueueList, QueueView
from orchestrator.desk import queues as desk
from orchestrator.desk.census import Census, QueueCensus
from orchestrator.errors import NotFound
from orchestrator.lifecycle import ActKind, covers
from orchestrator.store.limits import NewLimits

queues = blueprint("queues")

# A script that has just created runs, and asks.
FRESH_SECONDS = 1.0


@queues.get("/v1/queues")
@allow(WATCHERS)
@queues.output(QueueList)
def list_all() -> Response:
    """The token's queues, by name."""
    census, queues_now = _census()
    covered = [queue for queue in queues_now if covers(caller().queues, queue.name)]
    return answer({"items": [queue_body(queue, census.at) for queue in covered]})


@queues.put("/v1/queues/<name>")
@allow(OPERATORS)
@refuses(NotFound)
@repeats(NATURALLY, "Its limits are these, however often they are put.")
@queues.input(QueueLimits, arg_name="asked")
@queues.output(QueueView)
def put_limits(name: str, asked: QueueLimits) -> Response:
    """Set how much is claimed from a queue. What is leased goes on.

    What the body leaves out, or gives as null, is not limited any more; of one
    `concurrencyKey` it is one run at once then.
    """
    queue = name_of(name)
    require_queues(caller(), [queue])
    new = NewLimits(
        queue=queue,
        max_concurrency=asked.max_concurrency,
        rate_per_second=asked.rate_per_second,
        max_concurrency_per_key=asked.max_concurrency_per_key,
        actor=caller().name,
    )
    line = asked_act(ActKind.LIMIT_QUEUE, queue, queue=queue, **asked.model_dump(by_alias=True))

    desk.put_limits(services().database, new, line=line)
    census, queues_now = _census()
    return answer(queue_body(next(each for each in queues_now if each.name == queue), census.at))


@queues.post("/v1/queues/<name>/pause")
@allow(OPERATORS)
@refuses(NotFound)
@repeats(NATURALLY, "It is paused, however often it is told.")
@queues.input(NoMembers, arg_name="_asked")
@queues.output(Paused)
def pause(name: str, _asked: NoMembers) -> Response:
    """Claim nothing more from a queue. What is leased goes on. Repeatable."""
    return _set_paused(name, paused=True)


@queues.post("/v1/queues/<name>/resume")
@allow(OPERATORS)
@refuses(NotFound)
@repeats(NATURALLY, "It is not paused, however often it is told.")
@queues.input(NoMembers, arg_name="_asked")
@queues.output(Paused)
def resume(name: str, _asked: NoMembers) -> Response:
    """Claim from a queue again. Repeatable."""
    return _set_paused(name, paused=False)


def _census() -> tuple[Census, list[QueueCensus]]:
    """The last census, and the queues in use, by name."""
    census = services().census.now(within_seconds=FRESH_SECONDS)
    return census, desk.queues_in_use(services().database, census)


def _set_paused(name: str, *, paused: bool) -> Response:
    queue, actor = name_of(name), caller().name
    require_queues(caller(), [queue])
    line = asked_act(ActKind.PAUSE_QUEUE if paused else ActKind.RESUME_QUEUE, queue, queue=queue)
    desk.set_paused(services().database, queue, paused=paused, actor=actor, line=line)
    return answer({"name": queue, "paused": paused})
