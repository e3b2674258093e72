"""
Make ready what docker-compose.yml runs; harmless when it is ready already.

    prepare.py secrets     the database owner's password, before the first start of the database
    prepare.py database    the schema, the service's login and its grants, the tokens

Each folder under /run/dibs is a volume of its own: `owner` for whoever prepares
and administers, `service` for the orchestrators, `executor` for the executors.
"""

import os
import secrets
import subprocess
import sys
from pathlib import Path

from orchestrator.dev.provision import ensure_role

RUN = Path("/run/dibs")
OWNER, SERVICE, EXECUTOR = RUN / "owner", RUN / "service", RUN / "executor"
SERVICE_ROLE = "dibs_service"


def prepare_secrets() -> None:
    """Make the password that the database is created with, and the URL that goes with it."""
    password = kept(OWNER / "password")
    keep(OWNER / "url", f"postgresql://dibs_owner:{password}@postgres:5432/dibs")


def prepare_database() -> None:
    """Bring the schema up, and make who may serve, operate and execute."""
    owner_url = (OWNER / "url").read_text(encoding="ascii")
    dibs(owner_url, "migrate", "up")
    keep(SERVICE / "url", ensure_role(owner_url, SERVICE_ROLE, kept(SERVICE / "password")))
    dibs(owner_url, "migrate", "grants", "--role", SERVICE_ROLE)
    kept(SERVICE / "secret-key")
    make_token(owner_url, "operator", OWNER / "operator-token")
    make_token(owner_url, "executor", EXECUTOR / "token")


def make_token(owner_url: str, role: str, file: Path) -> None:
    """Make sure that the file holds a token of this role, named as the role is."""
    words = ("--name", role, "--role", role, "--expires", "never")
    dibs(owner_url, "token", "create", *words, "--to", str(file), "--if-missing")


def dibs(owner_url: str, *words: str) -> None:
    """Run the command on the database as its owner; when it fails, so does this program."""
    # For commands by hand the service names a file; a URL that is given twice is refused.
    others = {name: value for name, value in os.environ.items() if name != "DATABASE_URL_FILE"}
    ended = subprocess.run(
        ["dibs", *words],  # noqa: S607 - the image's PATH
        env={**others, "DATABASE_URL": owner_url},
        check=False,
    )
    if ended.returncode:
        sys.exit(ended.returncode)


def kept(file: Path) -> str:
    """The secret in this file, made now if there is none."""
    if not file.exists():
        keep(file, secrets.token_hex(32))
    return file.read_text(encoding="ascii")


def keep(file: Path, secret: str) -> None:
    """Write a secret; a program that is killed leaves the whole of it or nothing."""
    fresh = file.with_name(f".{file.name}.new")
    fresh.touch(mode=0o600)
    fresh.write_text(secret, encoding="ascii")
    fresh.replace(file)


if __name__ == "__main__":
    {"secrets": prepare_secrets, "database": prepare_database}[sys.argv[1]]()
