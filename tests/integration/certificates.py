"""A certificate of this machine's loopback address, signed by itself."""

from __future__ import annotations

import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

import pytest

from orchestrator.dev.ports import LOOPBACK


@dataclass(frozen=True)
class Certificate:
    """Its files; who trusts the first, trusts whoever has the second."""

    certificate: Path
    key: Path


def self_signed(directory: Path, name: str) -> Certificate:
    """A new one, made by the openssl program."""
    if shutil.which("openssl") is None:
        pytest.skip("install openssl: it makes a certificate")
    made = Certificate(directory / f"{name}.crt", directory / f"{name}.key")
    subprocess.run(
        [
            *("openssl", "req", "-x509", "-nodes", "-days", "2", "-subj", "/CN=dibs"),
            *("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1"),
            *("-addext", f"subjectAltName=IP:{LOOPBACK}"),
            *("-out", str(made.certificate), "-keyout", str(made.key)),
        ],
        check=True,
        capture_output=True,
    )
    return made
