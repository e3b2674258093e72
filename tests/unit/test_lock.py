"""The locks that everything installs from: exported from uv.lock, and of no index of anyone's."""

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent.parent
EXPORTED = (
    "requirements.lock",
    "requirements-orchestrator.lock",
    "requirements-executor.lock",
    "requirements-build.lock",
)


def uv(*words: str) -> str:
    ended = subprocess.run(
        [sys.executable, "-m", "uv", *words, "--offline", "--python", sys.executable],
        cwd=ROOT,
        env={**os.environ, "VIRTUAL_ENV": sys.prefix},
        capture_output=True,
        text=True,
        check=False,
    )
    assert ended.returncode == 0, ended.stderr
    return ended.stdout


def named_in(lock: str) -> set[str]:
    """The packages that a lock installs."""
    text = (ROOT / lock).read_text(encoding="utf-8")
    return set(re.findall(r"^([a-z0-9][a-z0-9.-]*)==", text, re.MULTILINE))


def test_uv_lock_is_what_pyproject_asks_for() -> None:
    uv("lock", "--check")


@pytest.mark.parametrize("lock", EXPORTED)
def test_an_exported_lock_is_what_the_command_in_its_head_makes_now(lock: str) -> None:
    text = (ROOT / lock).read_text(encoding="utf-8")
    head = re.match(r"# .*\n# +uv (export .*) -o (\S+)\n", text)

    assert head is not None
    assert head[2] == lock
    assert uv(*shlex.split(head[1]), "--no-header") == text[head.end() :], "stale: `make lock`"


@pytest.mark.parametrize("lock", EXPORTED)
def test_a_lock_has_a_hash_for_every_package_and_names_no_index(lock: str) -> None:
    text = (ROOT / lock).read_text(encoding="utf-8")
    packages = re.split(r"^(?=[a-z0-9])", text, flags=re.MULTILINE)[1:]

    assert [one for one in packages if "--hash=sha256:" not in one] == []
    assert "://" not in text
    assert not re.search(r"^ *--(?!hash)", text, re.MULTILINE)


def test_an_executor_carries_no_database() -> None:
    assert not {"sqlalchemy", "psycopg", "psycopg-binary", "alembic"} & named_in(
        "requirements-executor.lock"
    )
    assert {"sqlalchemy", "psycopg", "alembic"} <= named_in("requirements-orchestrator.lock")
