"""Who PostgreSQL runs as, and what that account can reach.

PostgreSQL refuses to run as root. Creating a user for it would change the machine, so as root it
runs as one that exists already: the owner of the data, or else the first of `PREFERRED`.
"""

import os
import subprocess
import sys
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ledger.embedded.errors import EmbeddedError

if sys.platform != "win32":
    import pwd

PREFERRED = ("postgres", "_postgres", "nobody")

# PostgreSQL needs no more of our environment, and reads too much of it (PGDATA, PGOPTIONS, LANG).
CLEAN_ENVIRONMENT = {"LC_ALL": "C", "PATH": "/usr/local/bin:/usr/bin:/bin"}


@dataclass(frozen=True)
class Account:
    """An operating-system user; `dropped` says that we are root and processes must change to it."""

    uid: int
    gid: int
    name: str
    dropped: bool = False

    def popen(self) -> dict[str, Any]:
        """Arguments for `subprocess` that run a process as this account, in a clean environment."""
        arguments: dict[str, Any] = {"env": CLEAN_ENVIRONMENT, "cwd": "/", "umask": 0o077}
        if self.dropped:
            arguments |= {"user": self.uid, "group": self.gid, "extra_groups": []}
        return arguments

    def own(self, path: Path) -> None:
        """Give the account a file or directory that we have just made."""
        if self.dropped:
            os.chown(path, self.uid, self.gid, follow_symlinks=False)

    def first_closed(self, wanted: Iterable[tuple[str, Path]]) -> Path | None:
        """The first path that the account cannot read ("-r"), write ("-w") or enter ("-x")."""
        pairs = list(wanted)
        if not self.dropped:
            modes = {"-r": os.R_OK, "-w": os.W_OK, "-x": os.X_OK}
            return next((path for how, path in pairs if not os.access(path, modes[how])), None)
        # The kernel is asked as that account: modes alone say nothing of access lists.
        script = 'while [ $# -gt 0 ]; do test "$1" "$2" || exit $(($# / 2)); shift 2; done'
        flat = [argument for how, path in pairs for argument in (how, str(path))]
        done = subprocess.run(["/bin/sh", "-c", script, "sh", *flat], check=False, **self.popen())
        return pairs[len(pairs) - done.returncode][1] if done.returncode else None


def ourselves() -> Account:
    """The account of this process."""
    uid = os.geteuid()
    return Account(uid, os.getegid(), name_of(uid))


def name_of(uid: int) -> str:
    """The name of a user, or its number where a container gave it no name."""
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return f"uid {uid}"


def account_named(name: str) -> Account | None:
    """An existing user to drop to, or None if there is no such user."""
    try:
        user = pwd.getpwnam(name)
    except KeyError:
        return None
    return Account(user.pw_uid, user.pw_gid, name, dropped=True)


def owner_of(path: Path) -> Account:
    """The owner of a file or directory, as somebody to write files for."""
    status = path.lstat()
    return Account(status.st_uid, status.st_gid, name_of(status.st_uid))


def server_account(places: Iterable[Path]) -> Account:
    """Us; or, as root, the owner of the first of these places that is not root's."""
    if os.geteuid() != 0:
        return ourselves()
    for place in places:
        if place.exists() and (uid := (status := place.lstat()).st_uid) != 0:
            return Account(uid, status.st_gid, name_of(uid), dropped=True)
    for name in PREFERRED:
        found = account_named(name)
        if found is not None and found.uid != 0:
            return found
    raise EmbeddedError(
        "PostgreSQL refuses to run as root, and this machine has no unprivileged user to run it as "
        f"(looked for {', '.join(PREFERRED)}). Run clubledger as an ordinary user."
    )
