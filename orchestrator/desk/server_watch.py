"""Which of the database's servers has taken over: looked for while the old one still answers.

A connection that works is never given up, so a process would stay with a primary that was
left behind without knowing it. Where the URL names several servers each of them is looked
at; once the newer one was seen, nothing more is committed on the older
(`store.known_primary`). One that cannot be reached from here tells nothing: only a synchronous
standby, or whoever fences the old primary, can help there.
"""

from __future__ import annotations

import threading
from contextlib import suppress

import psycopg

from orchestrator.store.conninfo import each_server
from orchestrator.store.engine import open_connection
from orchestrator.store.known_primary import KnownPrimary

LOOK_EVERY_SECONDS = 10.0


def look(url: str, primary: KnownPrimary) -> None:
    """Look at each server that the URL names, and remember the newest timeline."""
    for server in each_server(url):
        # Standbys and servers that are away are no news, and whatever else one says is its own.
        with suppress(psycopg.Error):
            open_connection(server, name="dibs-watch", primary=primary).close()


def watch_servers(url: str, primary: KnownPrimary, *, draining: threading.Event) -> None:
    """Look every ten seconds until the process drains, if there is more than one server."""
    if len(each_server(url)) == 1:
        return

    def run() -> None:
        while not draining.wait(LOOK_EVERY_SECONDS):
            look(url, primary)

    threading.Thread(target=run, name="server-watch", daemon=True).start()
