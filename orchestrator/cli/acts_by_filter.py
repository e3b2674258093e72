"""One act on every run of a filter: counted first, asked about, done by the orchestrator."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from typing import Any
from uuid import uuid4

import click

from orchestrator.cli.client import Api, connected
from orchestrator.cli.failure import REFUSED, USAGE, Failure
from orchestrator.cli.output import print_json, say
from orchestrator.cli.progress import Advance, shown_progress
from orchestrator.cli.run_filter import RunFilter


def act_on_filter(
    wanted: RunFilter,
    act: str,
    members: Mapping[str, Any],
    *,
    dry_run: bool,
    yes: bool,
    as_json: bool,
) -> None:
    """
    Do something to every run of a filter.

    Runs that are created meanwhile are no part of it.

    Args:
        members: Of the request, beside the filter.
        dry_run: Only count.
        yes: Do not ask.

    Raises:
        Failure: Nobody can be asked; or one or more runs were refused.
        click.Abort: The answer was no.
    """
    asked = {"filter": wanted.members(), **members}
    with connected() as api:
        counted = api.request("POST", f"/bulk/{act}", body={**asked, "dryRun": True})
        more = "+" if counted["more"] else ""
        matched = f"runs that match ({wanted}): {counted['matched']:,}{more}"
        if dry_run:
            print_json(counted) if as_json else say(f"{act}: {matched}")
            return
        if not counted["matched"] and not counted["more"]:
            raise Failure(f"No run matches ({wanted}).", REFUSED)
        if not yes:
            _confirm(f"{act}: {matched}. Go on?")
        with shown_progress(act, None if counted["more"] else counted["matched"]) as advance:
            done = _act(api, act, asked, advance)
    if as_json:
        print_json(done)
    else:
        say(f"{act}: done {done['changed']:,} of {done['matched']:,}, refused: {done['refused']:,}")
    if done["refused"]:
        raise Failure(f"Refused: {done['refused']:,} of {done['matched']:,}.", REFUSED)


def _act(api: Api, act: str, asked: Mapping[str, Any], advance: Advance) -> dict[str, Any]:
    """The orchestrator works for some seconds at a time, and goes on when it is asked again."""
    key, passed = str(uuid4()), 0
    while True:
        done: dict[str, Any] = api.post_by_key(f"/bulk/{act}", asked, key)
        advance(done["matched"] - passed)
        passed = done["matched"]
        if not done["more"]:
            return done


def _confirm(question: str) -> None:
    if not sys.stdin.isatty():
        raise Failure(f"{question} Nobody can be asked here: say --yes.", USAGE)
    click.confirm(question, abort=True, err=True)
