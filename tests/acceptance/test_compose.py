"""docker-compose.yml: built, brought up, hurt and brought up again."""

from collections import Counter
from collections.abc import Iterator
from contextlib import closing

import httpx2
import pytest

from tests.acceptance.client import OVER, Client
from tests.acceptance.compose import EXECUTORS, Compose, project, why_not
from tests.acceptance.waiting import eventually

pytestmark = [pytest.mark.compose, pytest.mark.timeout(1200)]

RUNS = 200
QUEUE = "default"
TOUCH = "touch /tmp/x; for file in ./x /opt/dibs/x; do touch $file || echo refused; done"
OPERATOR_TOKEN = "/run/dibs/owner/operator-token"


@pytest.fixture(scope="module")
def compose(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Compose]:
    """Everything of docker-compose.yml, running."""
    if lacking := why_not():
        pytest.skip(f"{lacking}, so docker-compose.yml was not brought up")
    with project(tmp_path_factory.mktemp("compose")) as compose:
        compose.up()
        yield compose


@pytest.fixture
def web(compose: Compose) -> Iterator[Client]:
    """A client whose token was made as docs/deploying.md says."""
    words = ("dibs", "token", "create", "--name", "web", "--role", "client", "--expires", "1h")
    with closing(Client(compose.url, compose.prepare(*words))) as client:
        yield client


def test_200_runs_are_executed_once_although_an_executor_dies_and_the_orchestrator_restarts(
    compose: Compose, web: Client
) -> None:
    ids = web.create_many(QUEUE, RUNS, "fetch-orders", input={"rows": 5})
    eventually(lambda: web.count(QUEUE, "finished") >= RUNS // 10, what="a tenth is finished")
    compose.do("kill", "executor-1")
    compose.do("restart", "orchestrator")
    eventually(lambda: _answers(web), what="the orchestrator answers again")
    eventually(
        lambda: web.count(QUEUE, *OVER) == RUNS, within_seconds=120, what=f"{RUNS} runs are over"
    )

    kinds = {run_id: Counter(web.kinds(run_id)) for run_id in ids}
    executed = Counter(
        step["run_id"] for name in EXECUTORS for step in compose.said(name, "step_ended")
    )
    assert {run["id"] for run in web.runs(QUEUE, "finished")} == set(ids)
    assert {run_id for run_id in ids if kinds[run_id]["reported"] != 1} == set()
    assert executed.keys() == set(ids)
    # What was begun again had lost its lease before, to the kill or the restart.
    assert {run_id for run_id in ids if executed[run_id] > kinds[run_id]["claimed"]} == set()
    assert sum(kinds[run_id]["claimed"] == 1 for run_id in ids) > RUNS // 2


def test_a_second_up_keeps_the_tokens_and_starts_what_was_killed(
    compose: Compose, web: Client
) -> None:
    token = compose.prepare("cat", OPERATOR_TOKEN)
    compose.do("kill", *EXECUTORS)

    compose.up()

    assert compose.prepare("cat", OPERATOR_TOKEN) == token
    with closing(Client(compose.url, token)) as operator:
        assert operator.ask("GET", "/v1/whoami")["role"] == "operator"
    run = web.wait_for(web.create(QUEUE, "fetch-orders", input={"rows": 1}))
    assert run["runState"] == "finished"


def test_nothing_runs_as_root_or_can_change_its_image(compose: Compose) -> None:
    for service in ("orchestrator", *EXECUTORS):
        assert compose.inside(service, "id", "-u") == "10001"
        touched = compose.inside(
            service,
            "sh",
            "-c",
            "touch /tmp/x; for f in /opt/dibs/x ./x; do touch $f || echo no; done",
        )
        assert touched.split() == ["no", "no"]


def test_the_database_server_is_nobody_and_can_change_only_its_data(compose: Compose) -> None:
    lines = compose.inside("postgres", "cat", "/proc/1/status").splitlines()
    status = {name: value.split() for name, _, value in (line.partition(":") for line in lines)}

    assert status["Name"] == ["postgres"]
    assert "0" not in status["Uid"] + status["Gid"]
    assert {int(status[name][0], 16) for name in ("CapEff", "CapPrm", "CapAmb")} == {0}
    assert status["NoNewPrivs"] == ["1"]
    touched = "for f in /x /usr/local/x /etc/x; do touch $f || echo no; done"
    assert compose.inside("postgres", "sh", "-c", touched).split() == ["no"] * 3


def test_an_executor_has_neither_a_driver_nor_a_way_to_the_database(compose: Compose) -> None:
    look = """
import importlib.util, socket
print([name for name in ("sqlalchemy", "psycopg", "alembic") if importlib.util.find_spec(name)])
try:
    socket.getaddrinfo("postgres", 5432)
except socket.gaierror:
    print("no such host")
"""
    assert compose.inside("executor-2", "python", "-c", look).split("\n") == ["[]", "no such host"]


def _answers(client: Client) -> bool:
    try:
        return client.send("GET", "/readyz").is_success
    except httpx2.TransportError:
        return False
