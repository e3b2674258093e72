"""One act on runs that are named one by one; a refusal stops none of the others."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Mapping, Sequence
from typing import Any
from uuid import uuid4

from orchestrator.cli.client import Api, connected
from orchestrator.cli.failure import REFUSED, USAGE, Failure
from orchestrator.cli.output import print_json_line, say
from orchestrator.cli.progress import shown_progress
from orchestrator.cli.run_argument import STANDARD_INPUT
from orchestrator.cli.run_ids import NoRunIds, is_run_id, read_ids


def act_on_each(ids: Sequence[str], act: str, body: Mapping[str, Any], *, as_json: bool) -> None:
    """
    Do something to each run; one line for each says what became of it.

    Args:
        act: The last word of the route, as in `retry`.
        as_json: Each line is a JSON object.

    Raises:
        Failure: One or more were refused; or nothing more could be asked, and who is left
            was not tried.
    """
    refused = tried = 0
    try:
        with connected() as api, shown_progress(act, len(ids)) as advance:
            for run_id in ids:
                refusal, run_state = _act(api, run_id, act, body)
                tried += 1
                refused += refusal is not None
                _tell(run_id, run_state, refusal, as_json=as_json)
                advance(1)
    except (Failure, KeyboardInterrupt) as stop:
        say(f"dibs: {_said(act, tried, refused)}, left: {len(ids) - tried}", err=True)
        raise stop from None
    if refused:
        raise Failure(f"{_said(act, tried, refused)}.", REFUSED)
    say(f"dibs: {_said(act, tried, refused)}", err=True)


def named_runs(words: Iterable[str]) -> list[str]:
    """
    The runs that an argument list names, with those on standard input in the place of `-`.

    Raises:
        Failure: Standard input names something else than runs.
    """
    ids: list[str] = []
    for word in words:
        ids += _from_standard_input() if word == STANDARD_INPUT else [word]
    return list(dict.fromkeys(ids))


def _from_standard_input() -> Sequence[str]:
    if sys.stdin.isatty():
        say("dibs: reading ids of runs from the terminal, until Ctrl-D", err=True)
    try:
        given = read_ids(sys.stdin.buffer.read().decode())
    except (NoRunIds, UnicodeDecodeError) as error:
        said = error if isinstance(error, NoRunIds) else "is not text in UTF-8"
        raise Failure(f"Standard input {said}.", USAGE) from error
    if given.go_on:
        say("dibs: this is one page of a list that goes on (dibs runs list --all)", err=True)
    return given.ids


def _act(api: Api, run_id: str, act: str, body: Mapping[str, Any]) -> tuple[str | None, str | None]:
    """What refused it, and the state of the run now: one of both is None."""
    if not is_run_id(run_id):
        return "this is no run's id", None
    try:
        run = api.post_by_key(f"/runs/{run_id}/{act}", body, str(uuid4()))
    except Failure as failure:
        if failure.exit_code != REFUSED:
            raise
        return failure.message, None
    return None, run["runState"]


def _tell(run_id: str, run_state: str | None, refusal: str | None, *, as_json: bool) -> None:
    if as_json:
        print_json_line({"id": run_id, "runState": run_state, "refused": refusal})
    else:
        say(f"{run_id}  {run_state if refusal is None else f'refused: {refusal}'}")


def _said(act: str, tried: int, refused: int) -> str:
    return f"{act}: done {tried - refused} of {tried}, refused: {refused}"
