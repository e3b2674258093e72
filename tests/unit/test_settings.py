"""Settings, and secrets in files: what is wrong is named, all of it at once, and never shown."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest

from orchestrator.settings import Settings, SettingsError, load
from tests.command_line import CommandLine

URL = "postgresql://dibs_service:canary@127.0.0.1:1/dibs"
KEY = "canary-canary-canary"
ENOUGH = {"DATABASE_URL": URL, "DIBS_SECRET_KEY": KEY}
EXECUTORS = {"ORCHESTRATOR_URL": "http://127.0.0.1:1", "EXECUTOR_TOKEN": "dibs_k_canary"}
OURS = ("DIBS_", "DATABASE_URL", "EXECUTOR_", "ORCHESTRATOR_")

# What may be wrong with a file, and how that is said.
FAULTS = {
    "missing": "cannot read",
    "a-folder": "cannot read",
    "not-utf-8": "is not text in UTF-8",
}


@pytest.fixture
def files(tmp_path: Path) -> Path:
    """A file of each kind."""
    (tmp_path / "a-folder").mkdir()
    (tmp_path / "not-utf-8").write_bytes(b"canary \xff\xfe")
    (tmp_path / "url").write_text(f"{URL}\n", encoding="utf-8")
    (tmp_path / "key").write_text(f"{KEY}\n", encoding="utf-8")
    (tmp_path / "token").write_text("dibs_k_canary\n", encoding="utf-8")
    return tmp_path


def refused(environment: Mapping[str, str]) -> str:
    with pytest.raises(SettingsError) as bad:
        load(environment)
    assert "canary" not in str(bad.value)
    return str(bad.value)


def secrets_of(settings: Settings) -> tuple[str, str]:
    return settings.database_url.get_secret_value(), settings.secret_key.get_secret_value()


def test_a_secret_is_read_from_its_file(files: Path) -> None:
    named = {"DATABASE_URL_FILE": str(files / "url"), "DIBS_SECRET_KEY_FILE": str(files / "key")}

    assert secrets_of(load(named)) == (URL, KEY)


@pytest.mark.parametrize("name", ENOUGH)
def test_a_secret_that_is_given_twice_is_refused(files: Path, name: str) -> None:
    said = refused({**ENOUGH, f"{name}_FILE": str(files / "key")})

    assert said.splitlines()[1:] == [f"{name}_FILE: is set beside {name}: set one of them"]


def test_a_key_that_is_too_short_is_told_how_to_make_one() -> None:
    said = refused({**ENOUGH, "DIBS_SECRET_KEY": "canary-of-15-ch"})

    assert said.splitlines()[1:] == [
        "DIBS_SECRET_KEY: must have 16 characters or more: `openssl rand -base64 32`"
    ]


@pytest.mark.parametrize("name", ENOUGH)
def test_an_empty_variable_is_none(files: Path, name: str) -> None:
    named = {**ENOUGH, name: "", f"{name}_FILE": str(files / "url")}

    assert URL in secrets_of(load(named))


@pytest.mark.parametrize("fault", FAULTS)
def test_every_file_that_cannot_be_read_is_named_in_one_error(files: Path, fault: str) -> None:
    said = refused({f"{name}_FILE": str(files / fault) for name in ENOUGH} | {"DIBS_PORT": "x"})

    for name in ENOUGH:
        [line] = [line for line in said.splitlines() if line.startswith(f"{name}_FILE:")]
        assert FAULTS[fault] in line
        assert str(files / fault) in line
    assert "DIBS_PORT" in said
    assert "is not set" not in said


@pytest.mark.parametrize("fault", [*FAULTS, "twice"])
@pytest.mark.parametrize(
    ("words", "name"),
    [
        (["serve"], "DIBS_SECRET_KEY"),
        (["serve"], "DATABASE_URL"),
        (["token", "list"], "DATABASE_URL"),
        (["migrate", "up"], "DATABASE_URL"),
        (["dev"], "DATABASE_URL"),
        (["runs", "list"], "DIBS_TOKEN"),
    ],
)
def test_a_command_that_cannot_have_its_secret_says_which(
    command_line: CommandLine, files: Path, words: list[str], name: str, fault: str
) -> None:
    given = {name: URL} if fault == "twice" else {}
    path = files / ("url" if fault == "twice" else fault)
    others = {other: value for other, value in ENOUGH.items() if other != name}

    ended = command_line.run(*words, **others, **given, **{f"{name}_FILE": str(path)})

    assert ended.code == 78
    assert f"{name}_FILE" in ended.err
    assert FAULTS.get(fault, f"is set beside {name}") in ended.err
    assert "canary" not in ended.err


@pytest.mark.parametrize(
    ("file", "said"),
    [
        ("missing", "EXECUTOR_TOKEN_FILE cannot be read"),
        ("a-folder", "EXECUTOR_TOKEN_FILE cannot be read"),
        ("not-utf-8", "it is not text"),
        ("token", "EXECUTOR_TOKEN_FILE: is given beside EXECUTOR_TOKEN"),
    ],
)
def test_an_executor_that_cannot_have_its_token_says_why(files: Path, file: str, said: str) -> None:
    kept = {name: value for name, value in os.environ.items() if not name.startswith(OURS)}
    given = {name: value for name, value in EXECUTORS.items() if file == "token" or "URL" in name}

    ended = subprocess.run(
        [sys.executable, "-m", "executor", "run", "executor.samples:app"],
        env={**kept, **given, "EXECUTOR_TOKEN_FILE": str(files / file), "EXECUTOR_SLOTS": "x"},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )

    assert ended.returncode == 78
    assert said in ended.stderr
    assert "EXECUTOR_SLOTS" in ended.stderr
    assert "canary" not in ended.stderr
    assert "Traceback" not in ended.stderr


@pytest.mark.parametrize(
    ("host", "alone"),
    [
        ("127.0.0.1", True),
        ("127.8.0.1", True),
        ("::1", True),
        ("localhost", True),
        ("0.0.0.0", False),
        ("::", False),
        ("10.0.0.1", False),
        ("localhost.example", False),
        ("orchestrator", False),
    ],
)
def test_an_address_is_loopback_when_only_this_machine_reaches_it(host: str, alone: bool) -> None:
    assert load(ENOUGH, host=host).on_loopback is alone


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("DIBS_COMPAT", "perhaps", "valid boolean"),
        ("DIBS_COMPAT_HANDLER_PATH", "/handlers", "must look like /handlers/{type}"),
        ("DIBS_COMPAT_HANDLER_PATH", "handlers/{type}", "must look like /handlers/{type}"),
        ("DIBS_COMPAT_HANDLER_PATH", "/{type}/{type}", "must look like /handlers/{type}"),
        ("DIBS_COMPAT_HANDLER_PATH", "/h?{type}", "must look like /handlers/{type}"),
        ("DIBS_COMPAT_HANDLER_PATH", "/h\n{type}", "must look like /handlers/{type}"),
        ("DIBS_COMPAT_RUNS_PER_POLL", "0", "greater than or equal to 1"),
        ("DIBS_COMPAT_RUNS_PER_POLL", "501", "less than or equal to 500"),
        ("DIBS_COMPAT_USER_ID", "1.5", "valid integer"),
        ("DIBS_COMPAT_USER_ID", str(2**53), "less than or equal to"),
        ("DIBS_COMPAT_RENDERING_ID", "-1", "greater than or equal to 0"),
    ],
)
def test_what_is_wrong_with_a_setting_of_the_adapter_is_named(
    name: str, value: str, said: str
) -> None:
    [line] = refused({**ENOUGH, name: value}).splitlines()[1:]

    assert line.startswith(f"{name}: ")
    assert said in line


@pytest.mark.parametrize("value", ["on", "true", "1", "yes"])
def test_the_adapter_is_off_until_it_is_switched_on(value: str) -> None:
    assert load(ENOUGH).compat is False
    assert load({**ENOUGH, "DIBS_COMPAT": "off"}).compat is False
    assert load({**ENOUGH, "DIBS_COMPAT": value}).compat is True


@pytest.mark.parametrize("prefix", ["/api", "/api/dibs"])
def test_no_prefix_hides_the_adapter(prefix: str) -> None:
    given = {**ENOUGH, "DIBS_PATH_PREFIX": prefix}

    assert load(given).path_prefix == prefix
    [line] = refused({**given, "DIBS_COMPAT": "on"}).splitlines()[1:]
    assert line == "DIBS_PATH_PREFIX: must not begin with /api beside DIBS_COMPAT"
