"""pgbench: a script, run by so many connections for so long."""

import re
import subprocess
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

from orchestrator.dev.cluster import server_environment
from tests.bench.failure import BenchError

THREADS = 2
SPARE_SECONDS = 60.0

_RATE = re.compile(r"^tps = ([0-9.]+) \(without initial connection time\)", re.MULTILINE)
_DONE = re.compile(r"^number of transactions actually processed: (\d+)", re.MULTILINE)
_FAILED = re.compile(r"^number of failed transactions: (\d+)", re.MULTILINE)


@dataclass(frozen=True)
class Script:
    """What each connection does over and over; `variables` stay the same all the time."""

    text: str
    variables: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Measured:
    """How often the script was run to its end, in all and per second."""

    transactions: int
    transactions_per_second: float


class Pgbench:
    """
    The program, for one database and login.

    Args:
        program: Where it is.
        url: The database, as the service reaches it.
    """

    def __init__(self, program: Path, url: str) -> None:
        self._program = program
        self._url = urlsplit(url)

    def run(
        self, script: Script, *, connections: int, seconds: float, cycles: int | None = None
    ) -> Measured:
        """
        Run a script with prepared statements.

        Args:
            seconds: How long; a second at least.
            cycles: How often on each connection instead.

        Raises:
            BenchError: It failed, even once.
        """
        with tempfile.NamedTemporaryFile("w", suffix=".sql", encoding="utf-8") as file:
            file.write(script.text)
            file.flush()
            ended = subprocess.run(
                [
                    str(self._program),
                    *self._options(script, connections, seconds, cycles),
                    file.name,
                ],
                env=server_environment() | self._connection(),
                capture_output=True,
                text=True,
                check=False,
                timeout=seconds + SPARE_SECONDS,
                # Ctrl-C is for the bench, which then ends what it has started.
                start_new_session=True,
            )
        done, rate = _DONE.search(ended.stdout), _RATE.search(ended.stdout)
        failed = _FAILED.search(ended.stdout)
        if ended.returncode or not done or not rate or not failed or failed[1] != "0":
            raise BenchError(f"pgbench failed: {ended.stderr[-2_000:]}{ended.stdout}")
        return Measured(int(done[1]), float(rate[1]))

    def _options(
        self, script: Script, connections: int, seconds: float, cycles: int | None
    ) -> list[str]:
        until = f"--transactions={cycles}" if cycles else f"--time={max(1, round(seconds))}"
        return [
            "--no-vacuum",
            "--protocol=prepared",
            f"--client={connections}",
            f"--jobs={min(THREADS, connections)}",
            until,
            *(f"--define={name}={value}" for name, value in script.variables.items()),
            "--file",
        ]

    def _connection(self) -> dict[str, str]:
        return {
            "PGHOST": str(self._url.hostname),
            "PGPORT": str(self._url.port),
            "PGUSER": str(self._url.username),
            "PGPASSWORD": str(self._url.password),
            "PGDATABASE": self._url.path.removeprefix("/"),
        }
