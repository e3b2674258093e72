"""The list of runs and its bulk acts, over a socket: what is found, by whom, and what is done."""

from __future__ import annotations

import html
import re
from collections.abc import Callable
from itertools import chain
from typing import Any
from urllib.parse import unquote, urlencode

import pytest

from orchestrator.lifecycle import Role
from orchestrator.pages.run_query import MOST_CHOSEN
from orchestrator.pages.runs import RUNS_SHOWN
from tests.acceptance.client import Client, outcome_of
from tests.acceptance.stage import Stage, make_token
from tests.contract.browser import Browser, forms_of

MISSING = "01890000-0000-7000-8000-0000000000ab"


@pytest.fixture
def operator(browser: Browser, stage: Stage) -> Browser:
    browser.sign_in(stage.tokens[Role.OPERATOR])
    return browser


def address(page: str = "/ui/runs", **said: str) -> str:
    return f"{page}?{urlencode(said)}"


def listed(who: Browser, **said: str) -> list[str]:
    """The ids of the runs that are shown."""
    answer = who.open(address(**said))
    assert answer.status_code == 200, answer.text
    return re.findall(r'<tr id="run-([0-9a-f-]+)"', answer.text)


def failed(web: Client, holder: Client, queue: str, **members: Any) -> str:
    run_id = web.create(queue, maxFailures=1, **members)
    [dispatch] = holder.claim(queue)
    error = {"status": "error", "message": "no luck", "retryable": False}
    holder.report(outcome_of(dispatch, error))
    return run_id


@pytest.mark.parametrize(
    "search",
    [
        "queue:{queue}",
        "QUEUE:{queue}",
        "{queue}",
        '"{queue}"',
        "workflow:w-{queue}",
        "w-{queue}",
        'dedupKey:"key of {queue}"',
        "dedupkey:{queue}-k queue:{queue}",
        "queue:{queue} workflow:w-{queue} state:pending",
        "{queue} w-{queue}",
        "{queue}:x state:pending,failed",
    ],
)
def test_a_run_is_found_by_what_is_said_of_it(
    operator: Browser, web: Client, queue: str, search: str
) -> None:
    key = f"key of {queue}"
    key = f"{queue}-k" if "-k" in search else f"{queue}:x" if ":x" in search else key
    run_id = web.create(queue, f"w-{queue}", dedupKey=key)
    web.create(f"not-{queue}", f"not-w-{queue}", dedupKey=f"not {key}")
    answer = operator.open(address(search=search.format(queue=queue)))
    if answer.status_code == 303:
        answer = operator.open(answer.headers["Location"])

    assert re.findall(r'<tr id="run-([0-9a-f-]+)"', answer.text) == [run_id]


def test_a_held_run_is_found_by_its_holder(
    operator: Browser, stage: Stage, web: Client, holder: Client, queue: str
) -> None:
    run_id = web.create(queue)
    web.create(queue)
    holder.claim(queue, executor=f"of-{queue}")
    name = f"executor:of-{queue}"

    assert listed(operator, search=f"executor:{name}") == [run_id]
    # Without the quotation marks it would be the executor of a token that is called so.
    assert listed(operator, search=f'"{name}"') == [run_id]
    assert listed(operator, search=f"executor:{name}", state="failed") == []


def test_what_is_said_of_states_moves_into_the_address(operator: Browser, queue: str) -> None:
    answer = operator.open(address(search=f"state:failed,aborted  queue:{queue}"))
    where = answer.headers["Location"]

    assert answer.status_code == 303
    assert where == f"/ui/runs?search=queue:{queue}&state=aborted,failed"
    assert 'aria-current="true">Failed' not in operator.open(where).text


def test_other_pages_lead_here_by_the_names_of_terms(
    operator: Browser, web: Client, queue: str
) -> None:
    run_id = web.create(queue, f"w-{queue}")
    answer = operator.open(address(queue=queue, workflow=f"w-{queue}", state="pending"))
    where = answer.headers["Location"]

    assert answer.status_code == 303
    assert where == f"/ui/runs?search=queue:{queue}+workflow:w-{queue}&state=pending"
    assert f'<tr id="run-{run_id}"' in operator.open(where).text


@pytest.mark.parametrize(
    ("search", "said"),
    [
        ("state:over", "A state is one of scheduled, pending"),
        ("waiting:rain", "What a run waits for is one of input, outcome-unknown."),
        ("queue:a queue:b", "queue is named twice."),
        ("id:1234", "An id is a whole UUID."),
        (" ".join("abcdefghi"), "Search for at most 8 words."),
    ],
)
def test_a_mistake_is_said_and_nothing_is_listed(
    operator: Browser, web: Client, queue: str, search: str, said: str
) -> None:
    web.create(queue)
    answer = operator.open(address(search=search))

    assert answer.status_code == 200
    assert said in answer.text
    assert "<tr id=" not in answer.text
    assert said in operator.open(address("/ui/runs/bulk", act="retry", search=search)).text


def test_what_cannot_be_seen_in_a_search_is_sought_and_acted_on_all_the_same(
    operator: Browser, web: Client, queue: str
) -> None:
    key = f"{queue}-\N{MAN}\N{ZERO WIDTH JOINER}\N{WOMAN}"
    run_id, other = web.create(queue, dedupKey=key), web.create(queue)
    search = f"dedupKey:{key}"
    box = re.search(
        r'<input id="search" .*?value="([^"]*)"', operator.open(address(search=search)).text
    )
    bulk = operator.open(address("/ui/runs/bulk", act="abort", search=search))
    operator.send(forms_of(bulk)["bulk"], reason="\N{ZERO WIDTH SPACE}")

    assert box is not None
    assert listed(operator, search=html.unescape(box[1])) == [run_id]
    assert "Abort 1 run<" in bulk.text
    assert web.run(run_id)["runState"] == "aborted"
    assert web.run(other)["runState"] == "pending"


def test_a_question_mark_is_sought_also_where_it_stands_last(
    operator: Browser, nobody: Client, web: Client, queue: str
) -> None:
    web.create(queue, dedupKey=f"why-{queue}?")
    where = f"/ui/runs?search=why-{queue}?"
    looked_at = re.search(r'data-hx-get="([^"]*)"', operator.open(where).text)
    way_in = forms_of(nobody.send("GET", where))["sign-in"].action

    assert looked_at is not None
    assert html.unescape(looked_at[1]) == where
    assert unquote(way_in.partition("next=")[2]) == where


def test_an_id_beside_other_terms_is_acted_on_alone(
    operator: Browser, web: Client, queue: str
) -> None:
    run_id, other = web.create(queue), web.create(queue)
    search = f"queue:{queue} id:{run_id}"
    bulk = operator.open(address("/ui/runs/bulk", act="abort", search=search))
    operator.send(forms_of(bulk)["bulk"], reason="")

    assert "Abort 1 run<" in bulk.text
    assert [web.run(one)["runState"] for one in (run_id, other)] == ["aborted", "pending"]


@pytest.mark.parametrize(
    ("said", "status"),
    [
        ({"state": "over"}, 400),
        ({"before": "1"}, 400),
        ({"search": "x" * 501}, 400),
        ({"search": "a\0b"}, 422),
        ({"run": "1"}, 400),
    ],
)
def test_an_address_that_no_page_leads_to_is_refused(
    operator: Browser, said: dict[str, str], status: int
) -> None:
    assert operator.open(address(**said)).status_code == status


def test_only_so_many_runs_can_be_chosen(operator: Browser) -> None:
    chosen = [("run", MISSING[:-3] + f"{number:03x}") for number in range(MOST_CHOSEN + 1)]

    assert operator.open(f"/ui/runs?{urlencode(chosen[1:])}").status_code == 200
    assert operator.open(f"/ui/runs?{urlencode(chosen)}").status_code == 400


def test_pages_of_a_list_lead_to_every_run_once_newest_first(
    operator: Browser, web: Client, queue: str
) -> None:
    created = web.create_many(queue, 2 * RUNS_SHOWN + 1)
    found, where = [], address(search=f"queue:{queue}")
    while where:
        page = operator.open(where).text
        found.append(re.findall(r'<tr id="run-([0-9a-f-]+)"', page))
        onward = re.search(r'<a rel="next" href="([^"]+)"', page)
        where = html.unescape(onward[1]) if onward else ""

    assert [len(part) for part in found] == [RUNS_SHOWN, RUNS_SHOWN, 1]
    assert list(chain(*found)) == sorted(created, reverse=True)


def test_runs_of_other_queues_are_neither_listed_nor_counted_nor_acted_on(
    browser: Browser, stage: Stage, web: Client, queue: str
) -> None:
    own, foreign = web.create(queue, f"w-{queue}"), web.create(f"secret-{queue}", f"w-{queue}")
    browser.sign_in(make_token(stage.database, f"o-{queue}", Role.OPERATOR, (queue,)))
    bulk = browser.open(address("/ui/runs/bulk", act="abort", search=f"workflow:w-{queue}"))
    browser.send(forms_of(bulk)["bulk"], reason="")

    assert listed(browser) == [own]
    for search in (f"w-{queue}", f"secret-{queue}", f"queue:secret-{queue}"):
        assert foreign not in listed(browser, search=search)
    assert "Abort 1 run<" in bulk.text
    assert web.run(own)["runState"] == "aborted"
    assert web.run(foreign)["runState"] == "pending"


def test_a_viewer_lists_and_is_offered_no_act(
    browser: Browser, stage: Stage, web: Client, queue: str
) -> None:
    run_id = web.create(queue)
    browser.sign_in(stage.tokens[Role.VIEWER])
    fields = forms_of(browser.open("/ui/runs"))["sign-out"].fields
    sent = {"act": "abort", "search": f"queue:{queue}", "key": MISSING, "reason": ""}

    assert listed(browser, search=f"queue:{queue}") == [run_id]
    assert "Abort…" not in browser.open("/ui/runs").text
    bulk = address("/ui/runs/bulk", act="abort", search=f"queue:{queue}")
    assert browser.open(bulk).status_code == 403
    assert browser.post("/ui/runs/bulk", fields | sent).status_code == 403
    assert web.run(run_id)["runState"] == "pending"


def test_what_was_created_after_the_dry_run_is_no_part_of_the_act(
    operator: Browser, web: Client, queue: str
) -> None:
    counted = web.create(queue)
    bulk = operator.open(address("/ui/runs/bulk", act="abort", search=f"queue:{queue}"))
    later = web.create(queue)
    done = operator.send(forms_of(bulk)["bulk"], reason="")

    assert "Abort 1 run<" in bulk.text
    assert "<b>1</b> run was aborted" in done.text
    assert [web.run(run_id)["runState"] for run_id in (counted, later)] == ["aborted", "pending"]


def test_a_dry_run_says_what_matches_and_what_the_act_fits(
    operator: Browser, web: Client, holder: Client, queue: str
) -> None:
    failed(web, holder, queue)
    web.create(queue)
    search = f"queue:{queue}"
    told = {
        act: re.sub(r"<[^>]+>|\s+", " ", operator.open(address("/ui/runs/bulk", **said)).text)
        for act, said in {
            "retry": {"act": "retry", "search": search},
            "abort": {"act": "abort", "search": search},
            "none": {"act": "retry", "search": search, "state": "pending"},
            "all": {"act": "retry"},
        }.items()
    }
    plain = {act: " ".join(text.split()) for act, text in told.items()}

    assert "2 runs match; 1 of them can be retried" in plain["retry"]
    assert "2 runs match; 1 of them can be aborted" in plain["abort"]
    assert "1 run matches; none of them can be retried" in plain["none"]
    assert "Choose runs, or narrow the list first" in plain["all"]


def test_a_run_whose_outcome_is_unknown_is_not_counted_as_one_that_can_be_aborted(
    operator: Browser, web: Client, holder: Client, queue: str
) -> None:
    web.create_many(queue, 2)
    first, second = holder.claim(queue, limit=2)
    holder.report(
        outcome_of(first, {"status": "unknown", "message": "?"}),
        outcome_of(second, {"status": "awaiting-input", "waitingFor": {"schema": {}}}),
    )
    unknown = first["run"]["id"]
    search = f"queue:{queue} waiting:outcome-unknown"
    bulk = operator.open(address("/ui/runs/bulk", act="abort", search=f"queue:{queue}"))

    assert listed(operator, search=search) == [unknown]
    assert "Abort 1 run<" in bulk.text


def test_an_act_is_done_once_and_written_down_once(
    operator: Browser, web: Client, ops: Client, holder: Client, queue: str
) -> None:
    run_id = failed(web, holder, queue)
    page = operator.open(address("/ui/runs/bulk", act="retry", search=f"queue:{queue}"))
    form = forms_of(page)["bulk"]
    answers = [operator.send(form) for _ in range(2)]
    other = operator.send(form, search=f"queue:not-{queue}")
    [line] = [
        each
        for each in ops.ask("GET", "/v1/audit?limit=50")["items"]
        if each["subject"] == form.fields["key"]
    ]

    assert [answer.status_code for answer in answers] == [200, 200]
    assert all("<b>1</b> run was retried" in answer.text for answer in answers)
    assert (other.status_code, "idempotency-key-reused" in other.text) == (422, True)
    assert web.kinds(run_id).count("retried") == 1
    assert line["kind"] == "retry-runs"
    assert line["detail"]["filter"] == {"queue": queue, "state": ["aborted", "failed"]}


def test_chosen_runs_alone_are_acted_on(operator: Browser, web: Client, queue: str) -> None:
    chosen, other = web.create(queue), web.create(queue)
    page = operator.open(address("/ui/runs/bulk", act="abort", search=queue, run=chosen))
    operator.send(forms_of(page)["bulk"], reason="")

    assert web.run(chosen)["runState"] == "aborted"
    assert web.run(other)["runState"] == "pending"


@pytest.mark.parametrize(
    "changed",
    [
        {"search": "", "state": "", "runs": ""},
        {"act": "finish"},
        {"act": ""},
        {"state": "finished"},
        {"runs": "1"},
        {"search": "state:over"},
        {"key": ""},
    ],
    ids=str,
)
def test_a_form_that_no_page_made_does_nothing(
    operator: Browser, web: Client, queue: str, changed: dict[str, str]
) -> None:
    run_id = web.create(queue)
    page = operator.open(address("/ui/runs/bulk", act="abort", search=f"queue:{queue}"))
    answer = operator.send(forms_of(page)["bulk"], **changed)

    assert (answer.status_code, "malformed-request" in answer.text) == (400, True)
    assert web.run(run_id)["runState"] == "pending"


def test_counts_stand_on_tabs_while_states_alone_are_asked_for(
    operator: Browser, browsers: Callable[[], Browser], web: Client, queue: str
) -> None:
    web.create(queue)
    counted = re.compile(r">Pending <small>[\d,]+\+?</small>")

    assert counted.search(operator.open("/ui/runs").text)
    assert counted.search(operator.open("/ui/runs?state=failed").text)
    assert not counted.search(operator.open(address(search=f"queue:{queue}")).text)
