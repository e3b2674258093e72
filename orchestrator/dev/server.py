"""The process of a PostgreSQL server, from its start to its first answer."""

import signal
import subprocess
import time
from collections.abc import Mapping, Sequence

import psycopg

from orchestrator.dev.cluster import OWNER, Cluster, ClusterUnusableError, server_environment
from orchestrator.dev.leash import leash
from orchestrator.dev.ports import LOOPBACK

START_TIMEOUT_SECONDS = 60.0
LOOK_SECONDS = 0.02


class ServerEndedError(Exception):
    """The server ended instead of answering; `said` is what it wrote to its log."""

    def __init__(self, said: str) -> None:
        super().__init__(said)
        self.said = said


def launch(
    command: Sequence[str], cluster: Cluster, port: int, settings: Mapping[str, str]
) -> subprocess.Popen[bytes]:
    """
    Start a server on this cluster and wait until it answers.

    Raises:
        ServerEndedError: It ended instead.
        ClusterUnusableError: It neither answers nor ends.
    """
    everything = {
        "listen_addresses": LOOPBACK,
        "unix_socket_directories": "",
        "port": str(port),
        "max_connections": "200",
        "timezone": "UTC",
        "log_timezone": "UTC",
        **settings,
    }
    options = [word for item in everything.items() for word in ("-c", "=".join(item))]
    with cluster.log_file.open("ab") as log:
        said_before = log.tell()
        process = subprocess.Popen(
            [*command, "-D", str(cluster.data), *options],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            env=server_environment(),
            # Ctrl-C is for whoever started us, who then stops us in order.
            start_new_session=True,
            preexec_fn=leash(signal.SIGINT),
        )
    try:
        if _answers(process, cluster, port):
            return process
    except BaseException:
        process.kill()
        process.wait()
        raise
    with cluster.log_file.open("rb") as log:
        log.seek(said_before)
        raise ServerEndedError(log.read().decode(errors="replace"))


def _answers(process: subprocess.Popen[bytes], cluster: Cluster, port: int) -> bool:
    """Wait for the first answer; False when the server ended before."""
    deadline = time.monotonic() + START_TIMEOUT_SECONDS
    while process.poll() is None:
        try:
            psycopg.connect(
                host=LOOPBACK,
                port=port,
                user=OWNER,
                password=cluster.password(),
                dbname="postgres",
                connect_timeout=2,
            ).close()
        except psycopg.OperationalError as error:
            if time.monotonic() > deadline:
                raise ClusterUnusableError(
                    f"no answer within {START_TIMEOUT_SECONDS:.0f} s (log: {cluster.log_file})"
                ) from error
            time.sleep(LOOK_SECONDS)
        else:
            return True
    return False
