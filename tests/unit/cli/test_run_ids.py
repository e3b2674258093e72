"""Which runs are meant by what another command has printed."""

import json

import pytest

from orchestrator.cli.run_ids import NoRunIds, is_run_id, read_ids

A, B = "01980000-0000-7000-8000-00000000000a", "01980000-0000-7000-8000-00000000000b"
RUNS = [{"id": A, "runState": "failed", "input": {"id": "another"}}, {"id": B}]


@pytest.mark.parametrize(
    "text",
    [
        f"{A}\n{B}\n",
        f"  {A}  {B}",
        f"{A}\n\n{A}\r\n{B}",
        f'"{A}"\n"{B}"\n',
        json.dumps({"items": RUNS, "nextCursor": None}, indent=2),
        json.dumps(RUNS),
        "\n".join(json.dumps(run) for run in RUNS),
        "\n".join(json.dumps(run, indent=2) for run in RUNS),
        json.dumps({"runs": RUNS}),
        json.dumps({"run": {"id": A}, "steps": [], "events": []}) + B,
        f"{json.dumps({'id': A})}\n{B}",
        json.dumps([A, B]),
    ],
)
def test_ids_are_found_in_words_and_in_json(text: str) -> None:
    assert read_ids(text).ids == (A, B)


@pytest.mark.parametrize("text", ["", "\n \n", '{"items": [], "nextCursor": null}', "[]"])
def test_there_may_be_none(text: str) -> None:
    assert read_ids(text).ids == ()


@pytest.mark.parametrize("text", ["{", "[1]", '{"name": "x"}', '{"items": [7]}', "[" * 100_000])
def test_what_names_no_runs_is_refused(text: str) -> None:
    with pytest.raises(NoRunIds):
        read_ids(text)


def test_a_page_says_that_the_list_goes_on() -> None:
    page, last = {"items": RUNS, "nextCursor": "c"}, {"items": [], "nextCursor": None}

    assert read_ids(json.dumps(page)).go_on
    assert not read_ids(json.dumps(page) + json.dumps(last)).go_on


def test_what_is_no_id_is_left_to_be_refused_by_itself() -> None:
    assert read_ids(f"{A} nonsense").ids == (A, "nonsense")
    assert is_run_id(A)
    assert not any(map(is_run_id, ("nonsense", "", A.replace("-", ""), A.upper())))
