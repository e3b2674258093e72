"""Dibs as people install it: a wheel of what a clone holds, in environments with nothing else.

They have the oldest Python of those that are here and serve: what works on it mostly works on all.
"""

import os
import re
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

OLDEST_MINOR = 11
ROOT = Path(__file__).parent.parent.parent
BUILD_SECONDS = 120
INSTALL_SECONDS = 300
COMMAND_SECONDS = 60
UNREACHABLE = re.compile(r"Retrying|NewConnectionError|Name or service not known|ProxyError")


@dataclass(frozen=True)
class Ended:
    """How a command ended, and all it printed."""

    code: int
    said: str


@dataclass(frozen=True)
class Installed:
    """A virtual environment without anything but what was installed there."""

    folder: Path

    def program(self, name: str) -> str:
        return str(self.folder / "bin" / name)

    def run(self, *words: str, **settings: str) -> Ended:
        """Run a program of the environment, far from any clone."""
        return self.run_in(self.folder, *words, **settings)

    def run_in(self, directory: Path, /, *words: str, **settings: str) -> Ended:
        """Run a program of the environment in this directory."""
        ended = subprocess.run(
            [self.program(words[0]), *words[1:]],
            cwd=directory,
            env=self.environment(**settings),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=COMMAND_SECONDS,
            check=False,
        )
        return Ended(ended.returncode, ended.stdout.strip())

    def environment(self, **settings: str) -> dict[str, str]:
        """Nothing of the tests' own environment but where programs are."""
        return {"PATH": f"{self.folder / 'bin'}{os.pathsep}{os.environ['PATH']}", **settings}


def clean_clone(folder: Path) -> Path:
    """A copy of what a clone of this tree as it is now would hold."""
    listed = _checked("git", "ls-files", "-z", "--cached", "--others", "--exclude-standard")
    for name in filter(None, listed.split("\0")):
        if (source := ROOT / name).exists():
            copy = folder / name
            copy.parent.mkdir(parents=True, exist_ok=True)
            copy.write_bytes(source.read_bytes())
    return folder


def build_wheel(clone: Path) -> Path:
    """Build the wheel, without any network."""
    _checked(sys.executable, "-m", "hatchling", "build", "-t", "wheel", cwd=clone)
    (wheel,) = (clone / "dist").glob("*.whl")
    return wheel


def oldest_python() -> str:
    """The oldest Python on the PATH that Dibs runs on; else the one that runs the tests."""
    folders = os.environ["PATH"].split(os.pathsep)
    for minor in range(OLDEST_MINOR, sys.version_info.minor):
        for folder in folders:
            found = Path(folder) / f"python3.{minor}"
            # A shim may stand for a Python that is not there.
            if found.exists() and _answers(found):
                return str(found)
    return sys.executable


def _answers(python: Path) -> bool:
    asked = [str(python), "-c", "import venv"]
    return subprocess.run(asked, capture_output=True, check=False).returncode == 0


def install(wheel: Path, lock: str, folder: Path) -> Installed:
    """
    Install what a lock names, and the wheel, in an environment of its own.

    The test that asks is skipped where no package index answers.
    """
    _checked(oldest_python(), "-m", "venv", "--without-pip", "--symlinks", str(folder))
    pip = [sys.executable, "-m", "pip", "--python", str(folder / "bin" / "python")]
    quietly = ["--disable-pip-version-check", "--no-input", "--retries", "1"]
    packages = subprocess.run(
        [
            *(*pip, "install", *quietly, "--no-deps", "--no-compile", "--only-binary", ":all:"),
            *("--require-hashes", "-r", str(ROOT / lock)),
        ],
        capture_output=True,
        text=True,
        timeout=INSTALL_SECONDS,
        check=False,
    )
    if packages.returncode:
        if UNREACHABLE.search(packages.stdout + packages.stderr):
            pytest.skip("no package index answers, so the wheel was not installed")
        pytest.fail(packages.stderr)
    _checked(*pip, "install", *quietly, "--no-index", "--no-deps", str(wheel))
    return Installed(folder)


def _checked(*words: str, cwd: Path = ROOT) -> str:
    ended = subprocess.run(
        words, cwd=cwd, capture_output=True, text=True, timeout=BUILD_SECONDS, check=False
    )
    assert ended.returncode == 0, ended.stderr
    return ended.stdout
