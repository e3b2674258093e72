"""The executor's settings: read from the environment, once, at start."""

import os
import re
import socket
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

from pydantic import (
    AfterValidator,
    BeforeValidator,
    Field,
    HttpUrl,
    SecretStr,
    TypeAdapter,
    ValidationError,
)
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,62}")
_LOG_LEVELS = ("debug", "info", "warning", "error")


class BadSettingsError(Exception):
    """Settings are missing or wrong; the message names every one of them."""

    exit_code = 78


def _url(text: str) -> str:
    TypeAdapter(HttpUrl).validate_python(text)
    return text.rstrip("/")


def _name(text: str) -> str:
    if not _NAME.fullmatch(text):
        raise ValueError("must be letters, digits, '.', '_' or '-', at most 63, as in web-1")
    return text


def _comma_separated(value: object) -> object:
    if isinstance(value, str):
        return tuple(dict.fromkeys(part.strip() for part in value.split(",") if part.strip()))
    return value


def _in_flight_status(status: int) -> int:
    if status not in (400, 409):
        raise ValueError("must be 400 or 409")
    return status


def _others(replaces: str | None) -> str | None:
    if replaces not in (None, "others"):
        raise ValueError("must be others, or not set")
    return replaces


def _log_level(text: str) -> str:
    if text.lower() not in _LOG_LEVELS:
        raise ValueError(f"must be one of {', '.join(_LOG_LEVELS)}")
    return text.lower()


def _instance_of_this_host() -> str:
    name = re.sub(r"[^A-Za-z0-9._-]", "-", socket.gethostname()).lstrip("._-")
    return name[:63] or "executor"


Name = Annotated[str, AfterValidator(_name)]


class Settings(BaseSettings):
    """Everything an executor is told from outside. Durations are in seconds."""

    model_config = SettingsConfigDict(
        env_ignore_empty=True, extra="ignore", frozen=True, case_sensitive=True
    )

    orchestrator_url: Annotated[str, AfterValidator(_url)] = Field(
        validation_alias="ORCHESTRATOR_URL", description="where the orchestrator is"
    )
    token: SecretStr = Field(
        validation_alias="EXECUTOR_TOKEN", description="a token with the role executor"
    )
    instance: Name = Field(
        default_factory=_instance_of_this_host,
        validation_alias="EXECUTOR_NAME",
        description="its instance among the executors of the token; this host's name unless set",
    )
    queues: Annotated[
        tuple[Name, ...], NoDecode, BeforeValidator(_comma_separated), Field(min_length=1)
    ] = Field(
        default=("default",),
        validation_alias="EXECUTOR_QUEUES",
        description="the queues it claims from, with commas between",
    )
    slots: int = Field(
        default=8,
        ge=1,
        le=500,
        validation_alias="EXECUTOR_SLOTS",
        description="runs that it executes at once",
    )
    lease_seconds: int = Field(
        default=30,
        ge=2,
        le=3600,
        validation_alias="EXECUTOR_LEASE_SECONDS",
        description="for so long a run is its own without a sign of life",
    )
    poll_interval_seconds: float = Field(
        default=5.0,
        ge=0.05,
        le=300,
        validation_alias="EXECUTOR_POLL_INTERVAL_S",
        description="the longest pause between claims, in seconds",
    )
    stop_timeout_seconds: float = Field(
        default=25.0,
        ge=0,
        le=86400,
        validation_alias="EXECUTOR_STOP_TIMEOUT_S",
        description="seconds that running work may take after SIGTERM, before it is given back",
    )
    chain_limit: int = Field(
        default=50,
        ge=0,
        validation_alias="EXECUTOR_CHAIN_LIMIT",
        description="steps that may follow a run's first one here under one lease; 0: any number",
    )
    http_host: str = Field(
        default="127.0.0.1",
        validation_alias="EXECUTOR_HTTP_HOST",
        description="where its HTTP face listens",
    )
    http_port: int = Field(
        default=3400,
        ge=0,
        le=65535,
        validation_alias="EXECUTOR_HTTP_PORT",
        description="the face's port; 0 takes a free one",
    )
    url: Annotated[str, AfterValidator(_url)] | None = Field(
        default=None,
        validation_alias="EXECUTOR_URL",
        description="what others are told of where its face is; shown, never called",
    )
    in_flight_status: Annotated[int, AfterValidator(_in_flight_status)] = Field(
        default=400,
        validation_alias="EXECUTOR_IN_FLIGHT_STATUS",
        description="what a trigger of a run that is in flight here is answered: 400 or 409",
    )
    strangers_per_second: float = Field(
        default=5.0,
        ge=0.1,
        le=1000,
        validation_alias="EXECUTOR_STRANGERS_PER_SECOND",
        description="requests of callers that are not known yet, for each address",
    )
    replaces: Annotated[str | None, AfterValidator(_others)] = Field(
        default=None,
        validation_alias="EXECUTOR_REPLACES",
        description="`others`: no other process of this name lives; their runs come back at once",
    )
    log_level: Annotated[str, AfterValidator(_log_level)] = Field(
        default="info", validation_alias="LOG_LEVEL", description="debug, info, warning or error"
    )


def read_settings() -> Settings:
    """
    Read the environment; ``EXECUTOR_TOKEN_FILE`` names a file with the token.

    Raises:
        BadSettingsError: Something is missing or wrong. All of it is named in the
            one message, never the value of a secret.
    """
    complaints: dict[str, str] = {}
    from_files = _secrets_from_files(os.environ, complaints)
    try:
        settings = Settings(**from_files)
    except ValidationError as invalid:
        for error in invalid.errors(include_input=False, include_url=False):
            name = str(error["loc"][0])
            said = "is missing" if error["type"] == "missing" else error["msg"]
            complaints.setdefault(name, said.removeprefix("Value error, "))
    if complaints:
        named = "; ".join(f"{name}: {said}" for name, said in sorted(complaints.items()))
        raise BadSettingsError(f"The settings cannot be used. {named}.")
    return settings


def _secrets_from_files(environ: Mapping[str, str], complaints: dict[str, str]) -> dict[str, Any]:
    path = environ.get("EXECUTOR_TOKEN_FILE")
    if not path:
        return {}
    if environ.get("EXECUTOR_TOKEN"):
        complaints |= {"EXECUTOR_TOKEN_FILE": "is given beside EXECUTOR_TOKEN"}
        return {}
    try:
        token = Path(path).read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not text"
        complaints["EXECUTOR_TOKEN"] = f"EXECUTOR_TOKEN_FILE cannot be read: {reason}"
        return {}
    return {"EXECUTOR_TOKEN": token} if token else {}
