"""`dibs workflows`: definitions over the API, with `DIBS_URL` and `DIBS_TOKEN`."""

from pathlib import Path
from typing import Any
from urllib.parse import quote

import click
import rich_click

from orchestrator.cli.client import request
from orchestrator.cli.failure import REFUSED, Failure
from orchestrator.cli.output import (
    as_json,
    print_fields,
    print_json,
    print_table,
    printable,
    say,
    to_the_second,
)
from orchestrator.cli.step_tree import draw
from orchestrator.cli.table import Column
from orchestrator.cli.workflow_files import files_of, read_file


@click.group(cls=rich_click.RichGroup)
def workflows() -> None:
    """
    Define workflows and look at them.

    Over the API at DIBS_URL, with the token in DIBS_TOKEN.

    \b
    dibs workflows apply refund.json
    dibs workflows list
    """


@workflows.command()
@click.argument(
    "places",
    metavar="FILE|DIR...",
    nargs=-1,
    required=True,
    type=click.Path(exists=True, path_type=Path),
)
@as_json
def apply(places: tuple[Path, ...], as_json: bool) -> None:
    """
    Make the definitions in these JSON files the current ones.

    A workflow is named like its file, or by the member "name" beside "steps".
    The same content is the same version. Every file is tried; exits 1 if one is bad.

    \b
    dibs workflows apply refund.json workflows/
    """
    applied: list[dict[str, Any]] = []
    bad = 0
    for path in files_of(places):
        try:
            applied.append({"file": str(path), **_apply(path)})
        except Failure as failure:
            if failure.exit_code != REFUSED:
                raise
            bad += 1
            say(f"{printable(str(path))}: {failure.message}", err=True)
    if as_json:
        print_json(applied)
    elif applied:
        print_table(
            ("WORKFLOW", "VERSION", "FILE"),
            ((one["name"], one["version"], one["file"]) for one in applied),
        )
        for one in applied:
            for warning in one["warnings"]:
                say(f"{one['name']}: {printable(warning)}", err=True)
    if bad:
        raise Failure(f"{bad} of {bad + len(applied)} files could not be applied.", REFUSED)


@workflows.command("list")
@as_json
def list_workflows(as_json: bool) -> None:
    """
    List the current version of each workflow.

    \b
    dibs workflows list
    """
    found = request("GET", "/workflows")
    if as_json:
        print_json(found)
        return
    print_table(
        (
            "WORKFLOW",
            Column("VERSION", right=True),
            Column("STEPS", right=True),
            Column("NOBODY SERVES", spare=1),
            Column("BY", spare=3),
            Column("AT", whole=True, spare=2),
        ),
        (
            (
                one["name"],
                one["version"],
                len(one["definition"]["steps"]),
                ", ".join(one["unservedStepTypes"]),
                one["createdBy"],
                to_the_second(one["createdAt"]),
            )
            for one in found["items"]
        ),
    )


@workflows.command()
@click.argument("name")
@click.option("--version", type=click.IntRange(min=1), help="[default: the current one]")
@as_json
def show(name: str, version: int | None, as_json: bool) -> None:
    """
    Show a workflow, its steps drawn as a tree.

    \b
    dibs workflows show refund --version 2
    """
    found = request("GET", f"/workflows/{quote(name, safe='')}", params={"version": version})
    if as_json:
        print_json(found)
        return
    shown = f"{found['version']}{', the current one' if found['current'] else ''}"
    print_fields(
        (
            ("workflow", found["name"]),
            ("version", shown),
            ("versions", ", ".join(map(str, found["versions"]))),
            ("created", f"{found['createdAt']} by {found['createdBy']}"),
        )
    )
    say()
    lines = draw(found["definition"]["steps"], unserved=found["unservedStepTypes"])
    print_table(("STEP", "TYPE"), lines)


def _apply(path: Path) -> dict[str, Any]:
    file = read_file(path)
    applied: dict[str, Any] = request(
        "PUT", f"/workflows/{quote(file.name, safe='')}", body=file.definition
    )
    return applied
