"""Postgres refuses to run as root: how root runs it all the same."""

import os
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

NOBODY_ID = 65534
NAMESPACE = ("--user", "--map-user=1000", "--map-group=1000")


class NotPossibleHereError(Exception):
    """This machine offers no way to run Postgres as another user than root."""


@dataclass(frozen=True)
class Identity:
    """Whom Postgres runs as: the words in front of its command, and the owner of its files."""

    prefix: tuple[str, ...]
    owner_id: int


def choose_identity(data: Path) -> Identity:
    """
    Whom to run Postgres as, so that it may use the files under `data`.

    An ordinary user runs it directly. Root runs it in a user namespace, where
    root's own files seem to belong to an ordinary user; where namespaces are
    refused (usual in containers) or the files are another user's already, it
    becomes that user, or 65534, by setpriv. Both change credentials, which
    takes the leash off: setpriv puts it on again.

    Raises:
        NotPossibleHereError: Root, and the machine has neither.
    """
    if os.geteuid() != 0:
        return Identity(prefix=(), owner_id=os.geteuid())
    owner_id = data.stat().st_uid
    leash = _setpriv("--pdeathsig", "SIGINT")
    namespace = ("unshare", *NAMESPACE, "--")
    if owner_id == 0 and _works(namespace):
        return Identity(prefix=(*namespace, *leash), owner_id=0)
    user_id = owner_id or NOBODY_ID
    become = ("--reuid", str(user_id), "--regid", str(user_id), "--clear-groups")
    # The way to the data may lead through folders of root's (/root is closed
    # to all others), so the server keeps root's right to pass.
    may_pass = ("--inh-caps", "+dac_override", "--ambient-caps", "+dac_override")
    for options in ((*become, *may_pass), become):
        if prefix := _setpriv(*options, *leash[1:-1]):
            return Identity(prefix=prefix, owner_id=user_id)
    raise NotPossibleHereError(
        "it does not run as root, and neither unshare nor setpriv (of util-linux) can change"
        " that here: run this as an ordinary user, or set DATABASE_URL"
    )


def _setpriv(*options: str) -> tuple[str, ...]:
    """The words that run a command under setpriv with these options; none where it cannot."""
    words = ("setpriv", *options, "--")
    return words if _works(words) else ()


def _works(prefix: tuple[str, ...]) -> bool:
    if shutil.which(prefix[0]) is None:
        return False
    tried = subprocess.run([*prefix, "true"], capture_output=True, check=False)
    return tried.returncode == 0
