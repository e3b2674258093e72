"""What a program consists of is listed with hashes, and looked up among known vulnerabilities."""

import json
import os
import re
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from orchestrator.dev.ports import LOOPBACK
from tests.ports import OwnPort

ROOT = Path(__file__).parent.parent.parent
SCRIPTS = Path(sys.executable).parent
PROGRAMS = ("orchestrator", "executor")
ADVISORY = "GHSA-0000-0000-0000"

Parts = dict[tuple[str, str], set[str]]


@pytest.fixture(scope="module")
def lists(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What `make sbom` writes, by program."""
    directory = tmp_path_factory.mktemp("sbom")
    command = ["make", "-o", "setup", "sbom", f"bin={SCRIPTS}", f"SBOM={directory}"]
    subprocess.run(command, cwd=ROOT, check=True, capture_output=True)
    return {
        program: json.loads((directory / f"dibs-{program}.cdx.json").read_bytes())
        for program in PROGRAMS
    }


def locked(program: str) -> Parts:
    """Hashes by package and version, as they are installed."""
    text = (ROOT / f"requirements-{program}.lock").read_text(encoding="utf-8")
    return {
        (name, version): set(re.findall(r"--hash=sha256:([0-9a-f]{64})", hashes))
        for name, version, hashes in re.findall(
            r"^([a-z0-9.-]+)(?:\[.*\])?==(\S+)(.*(?:\n .*)*)", text, re.MULTILINE
        )
    }


def listed(document: Any) -> Parts:
    return {
        (part["name"], part["version"]): {
            each["content"]
            for reference in part["externalReferences"]
            for each in reference["hashes"]
            if each["alg"] == "SHA-256"
        }
        for part in document["components"]
    }


@pytest.mark.parametrize("program", PROGRAMS)
def test_a_list_names_every_locked_package_with_its_version_and_hashes(
    lists: dict[str, Any], program: str
) -> None:
    document = lists[program]

    assert (document["bomFormat"], document["metadata"]["component"]["name"]) == (
        "CycloneDX",
        "dibs",
    )
    assert listed(document) == locked(program)
    assert all(locked(program).values())
    assert all(part["purl"].startswith("pkg:pypi/") for part in document["components"])


class Advisories(BaseHTTPRequestHandler):
    """Speaks as an advisory service does; the first package that is asked for is known."""

    known: bool
    status = 200

    def do_POST(self) -> None:
        asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))["queries"]
        found: list[dict[str, Any]] = [{} for _ in asked]
        if self.known:
            found[0]["vulns"] = [{"id": ADVISORY, "modified": "2026-01-01T00:00:00Z"}]
        self._answer({"results": found})

    def do_GET(self) -> None:
        told = {"id": ADVISORY, "summary": "bad", "modified": "2026-01-01T00:00:00Z"}
        self._answer({**told, "affected": []})

    def log_message(self, *_: object) -> None:
        """Write nothing."""

    def _answer(self, body: Any) -> None:
        content = json.dumps(body).encode()
        self.send_response(self.status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)


@contextmanager
def service(*, known: bool = False, status: int = 200) -> Iterator[str]:
    """An advisory service on this machine; its URL."""
    kind = type("Service", (Advisories,), {"known": known, "status": status})
    with ThreadingHTTPServer((LOOPBACK, 0), kind) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield f"http://{LOOPBACK}:{server.server_port}/"
        finally:
            server.shutdown()
            thread.join()


def audit(url: str, *words: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [ROOT / ".ci" / "audit", *words, "--service-url", url],
        env={**os.environ, "UV": str(SCRIPTS / "uv"), "UV_HTTP_RETRIES": "0"},
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.parametrize("words", [(), ("--lenient",)])
def test_a_known_vulnerability_is_named_and_fails_the_audit(words: tuple[str, ...]) -> None:
    with service(known=True) as url:
        ended = audit(url, *words)

    assert ended.returncode == 1
    assert ADVISORY in ended.stdout


def test_packages_without_a_known_vulnerability_pass() -> None:
    with service() as url:
        ended = audit(url)

    assert ended.returncode == 0, ended.stderr


def test_silence_passes_only_where_it_is_allowed_to() -> None:
    port = OwnPort()
    nobody = f"http://{LOOPBACK}:{port.number}/"
    with service(status=403) as refuses:
        strict, lenient = (
            [audit(url, *words) for url in (nobody, refuses)] for words in ((), ("--lenient",))
        )

    assert [ended.returncode for ended in strict] == [2, 2]
    assert [ended.returncode for ended in lenient] == [0, 0]
    assert {ended.stderr.count("\n") for ended in lenient} == {1}
    assert all("no advisory service answers" in ended.stderr for ended in lenient)


def test_what_keeps_the_audit_from_asking_is_a_failure_in_any_case() -> None:
    with service() as url:
        ended = audit(url, "--lenient", "--no-such-option")

    assert ended.returncode == 2
    assert "--no-such-option" in ended.stderr
