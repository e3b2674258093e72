"""The network as tests have it: a proxy as a process of its own, and what passed through it."""

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlsplit

from tests.acceptance.processes import Program, python
from tests.acceptance.waiting import eventually
from tests.chaos.fates import Rates
from tests.chaos.history import History
from tests.chaos.proxy import STARTED, Options


class Network(Program):
    """One faulty way to an orchestrator."""

    def __init__(
        self, upstream_url: str, *, seed: int, rates: Mapping[str, Rates], directory: Path
    ) -> None:
        self.history = History(directory / "history.jsonl")
        self.url = ""
        upstream = urlsplit(upstream_url)
        assert upstream.hostname is not None
        assert upstream.port is not None
        options = Options((upstream.hostname, upstream.port), self.history.path, seed, dict(rates))
        super().__init__(
            "network",
            python("tests.chaos.proxy", options.to_json()),
            os.environ,
            directory / "network.log",
        )

    def start(self) -> None:
        """Start, and wait until it listens."""
        super().start()
        self.url = eventually(lambda: self.said(STARTED), what="the proxy listens")[-1]["url"]


@contextmanager
def network_to(
    upstream_url: str, *, seed: int, rates: Mapping[str, Rates], directory: Path
) -> Iterator[Network]:
    """A faulty network, until the block is left."""
    network = Network(upstream_url, seed=seed, rates=rates, directory=directory)
    try:
        network.start()
        yield network
    finally:
        network.end()
