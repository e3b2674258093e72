"""Settings: read once, and everything that is wrong is named in one error."""

import socket
import subprocess
import sys

import httpx2
import pytest

from executor import App
from executor.face import shown_host
from executor.settings import BadSettingsError, read_settings


@pytest.fixture(autouse=True)
def _bare_environment(monkeypatch):
    import os

    for name in list(os.environ):
        if name.startswith(("EXECUTOR_", "ORCHESTRATOR_")) or name == "LOG_LEVEL":
            monkeypatch.delenv(name)


@pytest.fixture
def set_enough(monkeypatch):
    monkeypatch.setenv("ORCHESTRATOR_URL", "http://127.0.0.1:8420/")
    monkeypatch.setenv("EXECUTOR_TOKEN", "dibs_k_secret")


@pytest.mark.usefixtures("set_enough")
def test_two_settings_are_enough_and_the_rest_has_defaults():
    settings = read_settings()

    assert settings.orchestrator_url == "http://127.0.0.1:8420"
    assert settings.token.get_secret_value() == "dibs_k_secret"
    assert settings.queues == ("default",)
    assert settings.http_host == "127.0.0.1"
    assert settings.http_port == 3400
    assert settings.in_flight_status == 400
    assert settings.instance


@pytest.mark.usefixtures("set_enough")
def test_queues_are_separated_by_commas_and_repeats_are_dropped(monkeypatch):
    monkeypatch.setenv("EXECUTOR_QUEUES", "billing, default,,billing")

    assert read_settings().queues == ("billing", "default")


@pytest.mark.usefixtures("set_enough")
def test_an_empty_setting_is_a_missing_one(monkeypatch):
    monkeypatch.setenv("EXECUTOR_SLOTS", "")

    assert read_settings().slots == 8


def test_everything_missing_or_bad_is_named_in_one_error_without_its_value(monkeypatch):
    for name, value in {
        "EXECUTOR_SLOTS": "many",
        "EXECUTOR_NAME": "no spaces allowed",
        "EXECUTOR_QUEUES": "good,ba d",
        "EXECUTOR_LEASE_SECONDS": "1",
        "EXECUTOR_POLL_INTERVAL_S": "-1",
        "EXECUTOR_STOP_TIMEOUT_S": "soon",
        "EXECUTOR_HTTP_PORT": "70000",
        "EXECUTOR_IN_FLIGHT_STATUS": "418",
        "EXECUTOR_STRANGERS_PER_SECOND": "0",
        "EXECUTOR_REPLACES": "all",
        "EXECUTOR_URL": "executor-1:3400",
        "LOG_LEVEL": "loud",
    }.items():
        monkeypatch.setenv(name, value)

    with pytest.raises(BadSettingsError) as bad:
        read_settings()

    for name in (
        "ORCHESTRATOR_URL: is missing",
        "EXECUTOR_TOKEN: is missing",
        "EXECUTOR_SLOTS",
        "EXECUTOR_NAME",
        "EXECUTOR_QUEUES",
        "EXECUTOR_LEASE_SECONDS",
        "EXECUTOR_POLL_INTERVAL_S",
        "EXECUTOR_STOP_TIMEOUT_S",
        "EXECUTOR_HTTP_PORT",
        "EXECUTOR_IN_FLIGHT_STATUS: must be 400 or 409",
        "EXECUTOR_STRANGERS_PER_SECOND",
        "EXECUTOR_REPLACES: must be others, or not set",
        "EXECUTOR_URL",
        "LOG_LEVEL",
    ):
        assert name in str(bad.value)
    assert bad.value.exit_code == 78


@pytest.mark.parametrize("url", ["8420", "ftp://host", "http://", "not a url"])
def test_a_url_that_is_none_is_named(monkeypatch, url):
    monkeypatch.setenv("ORCHESTRATOR_URL", url)
    monkeypatch.setenv("EXECUTOR_TOKEN", "dibs_k_secret")

    with pytest.raises(BadSettingsError, match="ORCHESTRATOR_URL"):
        read_settings()


def test_the_token_is_read_from_a_file(monkeypatch, tmp_path):
    monkeypatch.setenv("ORCHESTRATOR_URL", "http://127.0.0.1:8420")
    (tmp_path / "token").write_text("dibs_k_from_file\n")
    monkeypatch.setenv("EXECUTOR_TOKEN_FILE", str(tmp_path / "token"))

    assert read_settings().token.get_secret_value() == "dibs_k_from_file"


def test_a_token_file_that_cannot_be_read_is_named(monkeypatch, tmp_path):
    monkeypatch.setenv("ORCHESTRATOR_URL", "http://127.0.0.1:8420")
    monkeypatch.setenv("EXECUTOR_TOKEN_FILE", str(tmp_path / "none"))

    with pytest.raises(BadSettingsError, match="EXECUTOR_TOKEN_FILE cannot be read"):
        read_settings()


@pytest.mark.usefixtures("set_enough")
def test_a_token_given_twice_is_refused(monkeypatch, tmp_path):
    (tmp_path / "token").write_text("dibs_k_other")
    monkeypatch.setenv("EXECUTOR_TOKEN_FILE", str(tmp_path / "token"))

    with pytest.raises(BadSettingsError, match="EXECUTOR_TOKEN_FILE") as bad:
        read_settings()
    assert "dibs_k" not in str(bad.value)


def test_the_url_that_is_advertised_is_the_one_that_was_set(answers, start_executor):
    start_executor(App(), EXECUTOR_URL="https://executor-1.example/dibs/")

    assert answers.bodies("register")[0]["url"] == "https://executor-1.example/dibs"


def test_by_default_it_is_where_the_trigger_listens(answers, start_executor):
    executor = start_executor(App())

    assert answers.bodies("register")[0]["url"] == executor.url
    assert httpx2.get(f"{executor.url}/health", trust_env=False).is_success


@pytest.mark.parametrize(
    ("host", "shown"),
    [
        ("0.0.0.0", socket.gethostname()),
        ("::", socket.gethostname()),
        ("::1", "[::1]"),
        ("10.0.0.7", "10.0.0.7"),
        ("executor-1", "executor-1"),
    ],
)
def test_who_listens_everywhere_is_found_by_its_host_s_name(host, shown):
    assert shown_host(host) == shown


def test_without_its_packages_the_command_says_what_it_lacks():
    lacking = "import sys; sys.modules['httpx2'] = None; from executor.__main__ import main; main()"

    ended = subprocess.run([sys.executable, "-c", lacking], capture_output=True, text=True)

    assert ended.returncode == 69
    assert ended.stderr == (
        "dibs-executor: httpx2 is not installed, which this command needs:"
        " pip install 'dibs[executor]'\n"
    )
