"""`dibs audit acts`: who did what, over the API with `DIBS_URL` and `DIBS_TOKEN`."""

import click

from orchestrator.cli.client import request
from orchestrator.cli.output import as_json, print_json, print_table, say, to_the_second
from orchestrator.cli.table import Column
from orchestrator.lifecycle import ActKind


@click.command()
@click.option("--actor", help="A token's name, or cli:USER.")
@click.option("--kind", type=click.Choice([kind.value for kind in ActKind]), help="What was done.")
@click.option(
    "--limit", type=click.IntRange(1, 500), default=50, show_default=True, help="At most so many."
)
@click.option("--cursor", help="The next page, as the one before named it.")
@as_json
def acts(
    actor: str | None, kind: str | None, limit: int, cursor: str | None, as_json: bool
) -> None:
    """
    List what operators, clients and the command line did, the newest first.

    For a viewer's or an operator's token in DIBS_TOKEN; of its queues only.

    \b
    dibs audit acts
    dibs audit acts --kind resolve-run --actor ops
    """
    page = request(
        "GET", "/audit", params={"actor": actor, "kind": kind, "limit": limit, "cursor": cursor}
    )
    if as_json:
        print_json(page)
        return
    print_table(
        (
            Column("AT", whole=True),
            "ACTOR",
            Column("KEY ID", whole=True, spare=3),
            "ACT",
            Column("SUBJECT", whole=True),
            Column("QUEUE", spare=2),
            Column("REQUEST", spare=5),
            Column("DETAIL", spare=4),
        ),
        (
            (
                to_the_second(act["at"]),
                act["actor"],
                act["keyId"],
                act["kind"],
                act["subject"],
                act["queue"],
                act["requestId"],
                act["detail"] or None,
            )
            for act in page["items"]
        ),
    )
    if page["nextCursor"]:
        say(f"more: --cursor {page['nextCursor']}", err=True)
