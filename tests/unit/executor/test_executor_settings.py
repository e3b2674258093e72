"""Settings: read once, and everything that is wrong is named in one error."""

import pytest

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
