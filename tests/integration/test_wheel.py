"""The wheel: `[orchestrator]` migrates and serves, `[executor]` executes without a database."""

import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from importlib.metadata import version
from pathlib import Path

import httpx2
import psycopg
import pytest

from orchestrator.dev.leash import leash
from orchestrator.dev.ports import LOOPBACK
from tests.database import Template
from tests.integration.empty_database import empty_database
from tests.integration.wheel import Installed, build_wheel, clean_clone, install
from tests.ports import OwnPort

pytestmark = pytest.mark.timeout(600)

READY_SECONDS = 60
LOOK_FOR_DATABASE = """
import importlib.util, sys
import executor.command
unwanted = ("alembic", "psycopg", "sqlalchemy")
print("installed:", *[name for name in unwanted if importlib.util.find_spec(name)])
print("imported:", *[name for name in (*unwanted, "orchestrator") if name in sys.modules])
"""
WHAT_IS_THERE = """
SELECT c.relname, a.attname, format_type(a.atttypid, a.atttypmod), a.attnotnull
  FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0
 WHERE c.relnamespace = 'public'::regnamespace
 UNION ALL SELECT conname, '', pg_get_constraintdef(oid), true FROM pg_constraint
 WHERE connamespace = 'public'::regnamespace
 UNION ALL SELECT tgname, '', pg_get_triggerdef(oid, true), true FROM pg_trigger
 WHERE NOT tgisinternal
 UNION ALL SELECT 'alembic_version', '', version_num, true FROM alembic_version
 ORDER BY 1, 2, 3
"""


@pytest.fixture(scope="module")
def clone(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return clean_clone(tmp_path_factory.mktemp("clone"))


@pytest.fixture(scope="module")
def wheel(clone: Path) -> Path:
    return build_wheel(clone)


@pytest.fixture(scope="module")
def serving(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Installed:
    """`pip install dibs[orchestrator]`, as the lock has it."""
    return install(wheel, "requirements-orchestrator.lock", tmp_path_factory.mktemp("serving"))


@pytest.fixture(scope="module")
def executing(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Installed:
    """`pip install dibs[executor]`, as the lock has it."""
    return install(wheel, "requirements-executor.lock", tmp_path_factory.mktemp("executing"))


@pytest.fixture
def empty_url(template: Template) -> Iterator[str]:
    """The owner's way to a database without a schema."""
    with empty_database(template.owner_url) as url:
        yield url


@pytest.fixture
def another_empty_url(template: Template) -> Iterator[str]:
    with empty_database(template.owner_url) as url:
        yield url


EVERY_MODULE = """
import importlib, pkgutil, sys
package = importlib.import_module(sys.argv[1])
for found in pkgutil.walk_packages(package.__path__, f"{package.__name__}."):
    if not found.name.endswith("__main__") and "._migrations" not in found.name:
        importlib.import_module(found.name)
"""


@pytest.mark.parametrize(
    ("installed", "package"), [("serving", "orchestrator"), ("executing", "executor")]
)
def test_every_module_can_be_imported_on_the_oldest_python(
    request: pytest.FixtureRequest, installed: str, package: str
) -> None:
    environment: Installed = request.getfixturevalue(installed)

    assert environment.run("python", "-c", EVERY_MODULE, package).said == ""


def test_both_commands_know_their_version(serving: Installed, executing: Installed) -> None:
    assert serving.run("dibs", "--version").said.endswith(version("dibs"))
    assert executing.run("dibs-executor", "--version").said.endswith(version("dibs"))


def test_the_migrations_travel_in_the_wheel_and_do_what_alembic_does_in_a_clone(
    serving: Installed, clone: Path, empty_url: str, another_empty_url: str
) -> None:
    by_dibs = serving.run("dibs", "migrate", "up", DATABASE_URL=empty_url)
    by_alembic = serving.run_in(clone, "alembic", "upgrade", "head", DATABASE_URL=another_empty_url)

    assert by_dibs.code == 0, by_dibs.said
    assert by_alembic.code == 0, by_alembic.said
    assert what_is_there(empty_url) == what_is_there(another_empty_url)
    assert serving.run("dibs", "migrate", "status", DATABASE_URL=another_empty_url).code == 0


def test_an_installed_executor_executes_what_an_installed_orchestrator_serves(
    serving: Installed, executing: Installed, empty_url: str
) -> None:
    owner = {"DATABASE_URL": empty_url}
    port = OwnPort()
    url = f"http://{LOOPBACK}:{port.number}"
    serving.run("dibs", "migrate", "up", **owner)
    create = ("dibs", "token", "create", "--role")
    client_token = serving.run(*create, "client", "--name", "web", **owner).said
    executor_token = serving.run(*create, "executor", "--name", "fleet", **owner).said

    serve = ("dibs", "serve", "--port", str(port.number))
    execute = ("dibs-executor", "run", "executor.samples:app")
    with (
        running(serving, *serve, **owner, DIBS_SECRET_KEY="only for this test"),
        httpx2.Client(base_url=url, trust_env=False, timeout=40) as web,
    ):
        wait_until_ready(web)
        with running(
            executing,
            *execute,
            ORCHESTRATOR_URL=url,
            EXECUTOR_TOKEN=executor_token,
            EXECUTOR_HTTP_PORT="0",
        ):
            web.headers["Authorization"] = f"Bearer {client_token}"
            made = web.post("/v1/runs", json={"workflow": "fetch-orders", "input": {"rows": 3}})
            run = web.get(f"/v1/runs/{made.json()['id']}", params={"waitSeconds": 30}).json()

    assert run["runState"] == "finished", run
    assert [row["order"] for row in run["output"]] == [1, 2, 3]


def test_an_executor_has_no_database_packages_and_imports_none(executing: Installed) -> None:
    found = executing.run("python", "-c", LOOK_FOR_DATABASE)

    assert found.said.splitlines() == ["installed:", "imported:"]


def test_dibs_says_in_a_sentence_that_only_the_executor_is_installed(executing: Installed) -> None:
    ended = executing.run("dibs", "--version")

    assert ended.code == 69
    assert len(ended.said.splitlines()) == 1
    assert "dibs[orchestrator]" in ended.said


def test_dev_says_in_a_sentence_that_there_is_no_embedded_postgres(
    serving: Installed, tmp_path: Path
) -> None:
    ended = serving.run("dibs", "dev", "--data", str(tmp_path / "data"))

    assert ended.code == 69
    assert "embedded-postgres" in ended.said.splitlines()[-1]
    assert "Traceback" not in ended.said


def what_is_there(url: str) -> list[tuple[object, ...]]:
    with closing(psycopg.connect(url)) as connection:
        return connection.execute(WHAT_IS_THERE.encode()).fetchall()


@contextmanager
def running(installed: Installed, *words: str, **settings: str) -> Iterator[None]:
    """A program that runs until the block ends, and then ends well."""
    process = subprocess.Popen(
        [installed.program(words[0]), *words[1:]],
        cwd=installed.folder,
        env=installed.environment(**settings),
        stdin=subprocess.DEVNULL,
        preexec_fn=leash(signal.SIGKILL),
    )
    try:
        yield
    finally:
        process.terminate()
        try:
            code = process.wait(30)
        except subprocess.TimeoutExpired:
            process.kill()
            code = process.wait()
    assert code == 0, f"{words[0]} ended with {code}"


def wait_until_ready(web: httpx2.Client) -> None:
    deadline = time.monotonic() + READY_SECONDS
    while True:
        try:
            if web.get("/readyz").is_success:
                return
        except httpx2.TransportError:
            pass
        assert time.monotonic() < deadline, "the orchestrator is not ready"
        time.sleep(0.1)
