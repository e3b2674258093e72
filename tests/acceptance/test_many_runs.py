"""Acts on many runs: piped, named, or all of a filter; a refusal stops none of them."""

import shlex
import sys
from uuid import uuid4

import orjson
import pytest

from orchestrator.cli import run_list
from orchestrator.cli.failure import CANNOT_CREATE, MISCONFIGURED
from tests.acceptance.client import Client
from tests.acceptance.commands import Dibs, failed_runs
from tests.acceptance.relay import Relay
from tests.acceptance.stage import Stage
from tests.command_line import CommandLine

# What `jq -r '.items[].id'` does, wherever that is not installed.
IDS_OF = 'import json, sys; print(*(run["id"] for run in json.load(sys.stdin)["items"]), sep="\\n")'
JQ = shlex.join([sys.executable, "-c", IDS_OF])


@pytest.fixture
def dibs(stage: Stage, command_line: CommandLine) -> Dibs:
    return Dibs(stage, command_line)


def states(web: Client, ids: list[str]) -> list[str]:
    return [web.run(run_id)["runState"] for run_id in ids]


@pytest.mark.parametrize("between", ["", f"{JQ} |"], ids=["json", "ids"])
def test_a_list_is_piped_into_retry(
    dibs: Dibs, web: Client, holder: Client, queue: str, between: str
) -> None:
    ids = failed_runs(web, holder, queue, 3)

    ended = dibs.shell(
        f"dibs runs list --state failed --queue {queue} --json | {between} dibs runs retry -"
    )

    assert (ended.returncode, ended.stderr) == (0, "dibs: retry: done 3 of 3, refused: 0\n")
    assert ended.stdout.splitlines() == [f"{run_id}  pending" for run_id in reversed(ids)]
    assert states(web, ids) == ["pending"] * 3


def test_what_one_act_prints_is_read_by_the_next(
    dibs: Dibs, web: Client, holder: Client, queue: str
) -> None:
    ids = failed_runs(web, holder, queue, 2)

    ended = dibs.shell(
        f"dibs runs list --queue {queue} --json | dibs runs retry - --json"
        " | dibs runs abort - --reason again"
    )

    assert ended.returncode == 0, ended.stderr
    assert states(web, ids) == ["aborted"] * 2


def test_one_page_of_a_longer_list_is_said_to_be_one(
    dibs: Dibs, web: Client, holder: Client, queue: str
) -> None:
    ids = failed_runs(web, holder, queue, 3)

    ended = dibs.shell(f"dibs runs list --queue {queue} --limit 2 --json | dibs runs retry -")

    assert ended.returncode == 0
    assert "one page of a list that goes on" in ended.stderr
    assert states(web, ids) == ["failed", "pending", "pending"]


def test_a_refusal_is_told_and_the_others_are_done(
    dibs: Dibs, web: Client, holder: Client, queue: str
) -> None:
    failed, other = failed_runs(web, holder, queue, 2)
    pending, missing = web.create(queue), str(uuid4())

    ended = dibs.shell(
        f"printf '%s\\n' {failed} {pending} nonsense {missing} {other} {failed}"
        " | dibs runs retry - --json"
    )

    assert (ended.returncode, ended.stderr) == (1, "dibs: retry: done 2 of 5, refused: 3.\n")
    lines = [orjson.loads(line) for line in ended.stdout.splitlines()]
    assert [(line["id"], line["runState"]) for line in lines] == [
        (failed, "pending"),
        (pending, None),
        ("nonsense", None),
        (missing, None),
        (other, "pending"),
    ]
    assert [line["refused"] is None for line in lines] == [True, False, False, False, True]
    assert lines[2]["refused"] == "this is no run's id"
    assert "(run-not-found)" in lines[3]["refused"]


def test_several_are_named_as_arguments(dibs: Dibs, web: Client, queue: str) -> None:
    ids = [web.create(queue) for _ in range(2)]

    ended = dibs("runs", "abort", *ids, "--reason", "by name")

    assert ended.code == 0
    assert ended.out.splitlines() == [f"{run_id}  aborted" for run_id in ids]
    assert web.events(ids[0])[-1]["detail"]["reason"] == "by name"


def test_nothing_on_standard_input_is_nothing_to_do(dibs: Dibs, queue: str) -> None:
    ended = dibs.shell(f"dibs runs list --queue {queue} --json | dibs runs retry -")

    assert (ended.returncode, ended.stdout) == (0, "")
    assert "done 0 of 0" in ended.stderr


@pytest.mark.parametrize("given", ["{", '{"name": 1}', "\\xff"])
def test_what_names_no_runs_is_a_mistake(dibs: Dibs, given: str) -> None:
    ended = dibs.shell(f"printf '{given}' | dibs runs retry -")

    assert (ended.returncode, ended.stdout) == (2, "")
    assert ended.stderr.startswith("dibs: Standard input ")


def test_a_token_that_is_not_good_stops_at_the_first(dibs: Dibs, web: Client, queue: str) -> None:
    ids = [web.create(queue) for _ in range(2)]

    ended = dibs("runs", "abort", *ids, DIBS_TOKEN="dibs_0_0")

    assert (ended.code, ended.out) == (77, "")
    assert "done 0 of 0, refused: 0, left: 2" in ended.err
    assert states(web, ids) == ["pending"] * 2


def test_an_act_whose_answer_is_lost_is_asked_for_again(
    dibs: Dibs, web: Client, queue: str, relay: Relay
) -> None:
    ids = [web.create(queue) for _ in range(2)]
    relay.lose_answers(f"/v1/runs/{ids[0]}/abort", 1)

    ended = dibs("runs", "abort", *ids, DIBS_URL=relay.url)

    assert (ended.code, "refused: 0" in ended.err) == (0, True)
    assert [one.lost for one in relay.requests(f"/v1/runs/{ids[0]}/abort")] == [True, False]
    assert states(web, ids) == ["aborted"] * 2


def test_a_filter_is_counted_then_done_and_each_refusal_counts(
    dibs: Dibs, web: Client, holder: Client, queue: str
) -> None:
    failed_runs(web, holder, queue, 3)
    web.create(queue)
    retry = ("runs", "retry", "--queue", queue)

    counted = dibs(*retry, "--state", "failed", "--dry-run")
    assert (counted.code, counted.out) == (
        0,
        f"retry: runs that match (state failed, queue {queue}): 3\n",
    )
    assert web.count(queue, "failed") == 3

    done = dibs(*retry, "--state", "failed", "--yes", "--json")
    assert done.code == 0
    answer = orjson.loads(done.out)
    assert (answer["matched"], answer["changed"], answer["refused"]) == (3, 3, 0)

    again = dibs(*retry, "--state", "failed", "--yes")
    assert (again.code, "No run matches" in again.err) == (1, True)
    refused = dibs(*retry, "--yes")
    assert (refused.code, refused.out) == (1, "retry: done 0 of 4, refused: 4\n")


def test_a_filter_is_asked_about_or_needs_yes(dibs: Dibs, web: Client, queue: str) -> None:
    run_id = web.create(queue)

    ended = dibs.shell(f"dibs runs abort --queue {queue} < /dev/null")

    assert (ended.returncode, ended.stdout) == (2, "")
    assert ended.stderr == (
        f"dibs: abort: runs that match (queue {queue}): 1. Go on?"
        " Nobody can be asked here: say --yes.\n"
    )
    assert states(web, [run_id]) == ["pending"]


@pytest.mark.parametrize(
    "words",
    [
        ("abort",),
        ("retry", "01980000-0000-7000-8000-000000000001", "--state", "failed"),
        ("retry", "01980000-0000-7000-8000-000000000001", "--dry-run"),
        ("retry", "-", "--dry-run"),
        ("retry", "--dry-run"),
    ],
)
def test_it_is_said_which_runs_are_meant(dibs: Dibs, words: tuple[str, ...]) -> None:
    ended = dibs("runs", *words)

    assert (ended.code, ended.out) == (2, "")


def test_a_list_is_followed_to_its_end_or_its_limit(
    dibs: Dibs, web: Client, queue: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(run_list, "A_PAGE", 2)
    ids = [web.create(queue) for _ in range(5)][::-1]
    of_queue = ("runs", "list", "--queue", queue)

    everything = dibs.json(*of_queue, "--all")
    three = dibs.json(*of_queue, "--limit", "3")
    rest = dibs.json(*of_queue, "--all", "--cursor", three["nextCursor"])

    assert ([run["id"] for run in everything["items"]], everything["nextCursor"]) == (ids, None)
    assert [run["id"] for run in three["items"]] == ids[:3]
    assert [run["id"] for run in rest["items"]] == ids[3:]
    assert dibs(*of_queue, "--all", "--limit", "4").err.startswith("more: --cursor ")
    assert len(dibs.json(*of_queue, "--all", "--limit", "5")["items"]) == 5


def test_a_reader_that_has_seen_enough_ends_a_command_quietly(
    dibs: Dibs, web: Client, queue: str
) -> None:
    web.create_many(queue, 300)

    ended = dibs.shell(f"dibs runs list --queue {queue} --all --json | head -n 1")

    assert (ended.returncode, ended.stdout, ended.stderr) == (141, "{\n", "")


@pytest.mark.parametrize("options", ["", "--json"])
def test_an_output_that_cannot_be_written_is_a_sentence(
    dibs: Dibs, web: Client, queue: str, options: str
) -> None:
    web.create(queue)
    ended = dibs.shell(f"dibs runs list --queue {queue} {options} > /dev/full")

    said = "dibs: The output cannot be written: No space left on device.\n"
    assert (ended.returncode, ended.stderr) == (CANNOT_CREATE, said)


def test_what_an_encoding_does_not_know_is_written_out(dibs: Dibs, web: Client, queue: str) -> None:
    run_id = web.create(queue, input={"name": "żółw"})
    ended = dibs.shell(f"PYTHONIOENCODING=ascii dibs runs show {run_id}")

    assert ended.returncode == 0, ended.stderr
    assert r"\u017c" in ended.stdout


def test_certificates_that_are_not_there_are_a_sentence(dibs: Dibs) -> None:
    ended = dibs.shell("SSL_CERT_FILE=/nowhere/at-all dibs runs list")

    assert ended.returncode == MISCONFIGURED
    assert ended.stderr.startswith("dibs: A proxy or the certificates")
    assert ended.stderr.count("\n") == 1
