"""`dibs audit acts` on a real orchestrator: who did what, page by page, no harm to a terminal."""

from collections.abc import Callable

import orjson
import pytest

from orchestrator.lifecycle import Role
from tests.acceptance.client import Client
from tests.acceptance.stage import Stage
from tests.command_line import CommandLine, Ended

Run = Callable[..., Ended]


@pytest.fixture
def dibs(stage: Stage, command_line: CommandLine) -> Run:
    """Runs `dibs` as whoever has this role."""

    def run(role: Role, *words: str) -> Ended:
        return command_line.run(
            *words, DIBS_URL=stage.orchestrator.url, DIBS_TOKEN=stage.tokens[role]
        )

    return run


def test_acts_are_shown_to_people_and_to_programs(dibs: Run, ops: Client, queue: str) -> None:
    run_id = ops.create(queue)
    ops.ask("POST", f"/v1/runs/{run_id}/abort", {"reason": "\x1b[31mred"}, X_Request_Id="r-7")

    newest = ("audit", "acts", "--actor", "operator", "--kind", "abort-run", "--limit", "1")
    table, printed = dibs(Role.VIEWER, *newest), dibs(Role.VIEWER, *newest, "--json")

    assert (table.code, printed.code) == (0, 0)
    [act] = orjson.loads(printed.out)["items"]
    assert (act["kind"], act["subject"], act["queue"]) == ("abort-run", run_id, queue)
    assert act["detail"] == {"reason": "\x1b[31mred"}
    for word in ("abort-run", "operator", act["keyId"], run_id, queue, "r-7", "red"):
        assert word in table.out
    assert "\x1b" not in table.out + printed.out


def test_the_next_page_is_named(dibs: Run, ops: Client, queue: str) -> None:
    for _ in range(2):
        ops.ask("POST", f"/v1/queues/{queue}/pause", {})
    words = ("audit", "acts", "--kind", "pause-queue", "--limit", "1")

    first = dibs(Role.OPERATOR, *words)
    cursor = first.err.split()[-1]
    second = dibs(Role.OPERATOR, *words, "--cursor", cursor, "--json")

    assert first.err.startswith("more: --cursor ")
    [act] = orjson.loads(second.out)["items"]
    assert act["subject"] == queue


@pytest.mark.parametrize("role", [Role.CLIENT, Role.EXECUTOR])
def test_it_is_for_those_who_watch(dibs: Run, role: Role) -> None:
    ended = dibs(role, "audit", "acts")

    assert ended.code == 77
    assert "insufficient-scope" in ended.err
