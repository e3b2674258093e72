"""The orchestrator's settings: the one place that reads the environment.

Every setting has a default that suits one machine, except where a default
would be a guess about security (`DATABASE_URL`, `DIBS_SECRET_KEY`). Every
secret may be read from a file instead: `DATABASE_URL_FILE`, `DIBS_SECRET_KEY_FILE`.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping, MutableMapping
from ipaddress import IPv4Network, IPv6Network, ip_address, ip_network
from typing import Any, Self

import psycopg
from psycopg.conninfo import conninfo_to_dict
from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    SecretStr,
    ValidationError,
    field_validator,
    model_validator,
)

from orchestrator.secret import SecretUnusable, secret_from

# Setting -> environment variable, where it is not DIBS_ and the field's name.
_PLAIN_NAMES = {"database_url": "DATABASE_URL", "log_level": "LOG_LEVEL"}
_SECRETS = ("database_url", "secret_key")
# Segments in which no dot-segment can hide; a prefix must not be taken for a path of ours.
_PATH_PREFIX = re.compile(r"(?:/[A-Za-z0-9_-][A-Za-z0-9._-]*)+")
_OWN_PATHS = frozenset({"v1", "ui", "docs", "healthz", "readyz", "metrics", "openapi.json"})
_HANDLER_PATH = re.compile(r"/[A-Za-z0-9/._~-]*\{type\}[A-Za-z0-9/._~-]*")
_SCHEMES = ("postgresql", "postgres", "postgresql+psycopg")
_SHORTEST_KEY = 16
# Room for 500 executors that wait for runs. A thread is made when it is needed for the
# first time, and takes 0.1 MB from then on.
_THREADS = 700
# The greatest integer below which every other one is exact in any language.
_GREATEST_EXACT = 2**53 - 1
# What the adapter serves stands below it.
_COMPAT_ROOT = "api"


class SettingsError(Exception):
    """Settings are missing or wrong; the message names every one of them."""


class Settings(BaseModel):
    """What one orchestrator process needs to know.

    A field's description is its line in the README's table.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    database_url: SecretStr = Field(description="Postgres, as the service's own role")
    secret_key: SecretStr = Field(
        description="signs cursors and cookies; the same on every orchestrator"
    )
    host: str = Field("127.0.0.1", description="address to listen on")
    port: int = Field(8420, ge=0, le=65535, description="port to listen on")
    path_prefix: str = Field(
        "", description="where a proxy mounts the service, like `/dibs`: links and cookies say so"
    )
    workers: int = Field(1, ge=1, le=64, description="server processes")
    threads: int = Field(_THREADS, ge=4, le=1024, description="request threads of each process")
    parked_claims: int = Field(
        default_factory=lambda given: given.get("threads", _THREADS) * 3 // 4,
        ge=0,
        le=1000,
        description="requests of each process that may wait (`waitSeconds`)",
    )
    work_connections: int = Field(
        8, ge=1, le=200, description="connections of each process for claims, creates and reads"
    )
    lease_connections: int = Field(
        4, ge=1, le=200, description="connections kept for renewals, reports and releases"
    )
    token_requests_per_second: int = Field(
        5_000,
        ge=1,
        le=1_000_000,
        description="requests of one token in each process; twice as many at once after a rest",
    )
    trusted_proxies: tuple[IPv4Network | IPv6Network, ...] = Field(
        (), description="proxies whose X-Forwarded-For says who is asking: addresses, networks"
    )
    retention_days: int = Field(
        30, ge=0, description="days that over runs and acts are kept; 0 keeps all"
    )
    log_level: str = Field("INFO", description="DEBUG, INFO, WARNING or ERROR")
    compat: bool = Field(
        False,
        description="serve executors of another orchestrator; there, and only there, GETs claim",
    )
    compat_handler_path: str = Field(
        "/handlers/{type}", description="where those find the HTTP handler of a step type"
    )
    compat_runs_per_poll: int = Field(
        10, ge=1, le=500, description="how many runs one poll of those gets at most"
    )
    compat_user_id: int = Field(
        1,
        ge=0,
        le=_GREATEST_EXACT,
        description="the user they act as, unless `input.userId` names one",
    )
    compat_user_email: str = Field(
        "dibs@localhost", min_length=1, max_length=254, description="and that user's address"
    )
    compat_rendering_id: int = Field(
        1, ge=0, le=_GREATEST_EXACT, description="and what they take for his rendering"
    )

    @field_validator("database_url")
    @classmethod
    def _postgres_only(cls, value: SecretStr) -> SecretStr:
        database_url(value.get_secret_value())
        return value

    @field_validator("secret_key")
    @classmethod
    def _not_to_be_guessed(cls, value: SecretStr) -> SecretStr:
        if len(value.get_secret_value()) < _SHORTEST_KEY:
            raise ValueError(
                f"must have {_SHORTEST_KEY} characters or more: `openssl rand -base64 32`"
            )
        return value

    @field_validator("trusted_proxies", mode="before")
    @classmethod
    def _networks(cls, value: object) -> object:
        if not isinstance(value, str):
            return value
        networks = []
        for text in value.split(","):
            try:
                networks.append(ip_network(text.strip()))
            except ValueError:
                raise ValueError(
                    f"{text.strip()!r} is neither an address nor a network like 10.0.0.0/8"
                ) from None
        return tuple(networks)

    @field_validator("log_level")
    @classmethod
    def _known_level(cls, value: str) -> str:
        if value.upper() not in {"DEBUG", "INFO", "WARNING", "ERROR"}:
            raise ValueError("must be DEBUG, INFO, WARNING or ERROR")
        return value.upper()

    @field_validator("path_prefix")
    @classmethod
    def _prefix_of_paths(cls, value: str) -> str:
        if value and not _PATH_PREFIX.fullmatch(value):
            raise ValueError("must look like /dibs, without a slash at its end")
        if value and value.split("/")[1] in _OWN_PATHS:
            raise ValueError("must not begin with a path of the service's own, like /v1 or /ui")
        return value

    @field_validator("compat_handler_path")
    @classmethod
    def _path_with_a_type(cls, value: str) -> str:
        if not _HANDLER_PATH.fullmatch(value):
            raise ValueError("must look like /handlers/{type}: a path with {type} in it once")
        return value

    @model_validator(mode="after")
    def _prefix_beside_the_adapter(self) -> Self:
        if self.compat and self.path_prefix.split("/")[1:2] == [_COMPAT_ROOT]:
            raise ValueError("DIBS_PATH_PREFIX: must not begin with /api beside DIBS_COMPAT")
        return self

    @model_validator(mode="after")
    def _some_threads_never_wait(self) -> Self:
        # Renewals must find a thread however many executors wait for runs.
        if self.parked_claims > self.threads * 3 // 4:
            raise ValueError(
                f"DIBS_PARKED_CLAIMS: at most {self.threads * 3 // 4} of"
                f" {self.threads} threads (DIBS_THREADS) may wait"
            )
        return self

    @property
    def postgres_url(self) -> str:
        return database_url(self.database_url.get_secret_value())

    @property
    def on_loopback(self) -> bool:
        """Whether only this machine reaches the address; a name that is not `localhost` may not."""
        if self.host == "localhost":
            return True
        try:
            return ip_address(self.host).is_loopback
        except ValueError:
            return False


def database_url(text: str) -> str:
    """
    Read a Postgres URL in any of its usual spellings, into the one libpq knows.

    Everything but the scheme stays as it was given and reaches libpq untouched
    (`sslmode`, several hosts, `target_session_attrs`).

    Raises:
        ValueError: It is not a Postgres URL.
    """
    scheme, found, rest = text.strip().partition("://")
    if not found or scheme not in _SCHEMES:
        raise ValueError("must look like postgresql://user@host/database")
    url = f"postgresql://{rest}"
    try:
        conninfo_to_dict(url)
    except psycopg.ProgrammingError:
        # libpq's message may hold the password: it stays out of ours.
        raise ValueError("must look like postgresql://user@host/database") from None
    return url


def variable(field: str) -> str:
    """The environment variable of a setting."""
    return _PLAIN_NAMES.get(field, f"DIBS_{field.upper()}")


def load(environment: Mapping[str, str] | None = None, **overrides: Any) -> Settings:
    """
    Read every setting from the environment.

    Args:
        environment: `os.environ` unless told otherwise.
        overrides: Values by field name that win over it; None does not count.

    Raises:
        SettingsError: One or more are missing or wrong; all are named.
    """
    environment = os.environ if environment is None else environment
    values: dict[str, Any] = {}
    problems: list[str] = []
    named: set[str] = set()
    for field in Settings.model_fields:
        try:
            value = _read(environment, field)
        except SecretUnusable as unusable:
            problems.append(str(unusable))
            named.add(variable(field))
            continue
        if value is not None:
            values[field] = value
    values |= {field: value for field, value in overrides.items() if value is not None}
    try:
        settings = Settings(**values)
    except ValidationError as invalid:
        for error in invalid.errors(include_input=False, include_context=False):
            if error["type"] == "default_factory_not_called":
                # A default that follows from a setting that is named already.
                continue
            sentence = _sentence(error["type"], error["msg"])
            if not error["loc"]:
                problems.append(sentence)
            elif (name := variable(str(error["loc"][0]))) not in named:
                problems.append(f"{name}: {sentence}")
    if problems:
        raise SettingsError("\n".join(["These settings are missing or wrong:", *problems]))
    return settings


def forget_secrets(environment: MutableMapping[str, str]) -> None:
    """Take the secrets out of an environment that was read: nothing else needs them."""
    for field in _SECRETS:
        environment.pop(variable(field), None)


def _read(environment: Mapping[str, str], field: str) -> str | None:
    if field in _SECRETS:
        return secret_from(environment, variable(field))
    return environment.get(variable(field)) or None


def _sentence(kind: str, message: str) -> str:
    if kind == "missing":
        return "is not set"
    return message.removeprefix("Value error, ")
