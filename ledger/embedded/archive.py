"""The archive of the write-ahead log: with a backup, the ledger as it was at any time since."""

import re
from collections.abc import Mapping
from pathlib import Path

from ledger.embedded.errors import EmbeddedError
from ledger.embedded.files import read_if_there, write_private
from ledger.embedded.home import Home, looked_at

ARCHIVE = "archive"
"""The file of a data directory that names where its write-ahead log is archived."""
_PLAIN = re.compile(r"/[\w./@+-]*", re.ASCII)
"""What a shell and PostgreSQL take as it is."""


def archive_to(data_dir: Path, archive: Path | None) -> None:
    """Have the write-ahead log archived there from the server's next start on; None: no more."""
    home = looked_at(data_dir)
    if archive is None:
        (home.path / ARCHIVE).unlink(missing_ok=True)
        return
    archive = usable(archive)
    if (closed := home.account.first_closed([("-x", archive), ("-w", archive)])) is not None:
        raise EmbeddedError(f"{home.account.name}, as whom PostgreSQL runs, cannot write {closed}.")
    write_private(home.path / ARCHIVE, f"{archive}\n", home.owner)


def usable(archive: Path) -> Path:
    """The directory of an archive, if it can be one."""
    archive = archive.expanduser().absolute()
    if not archive.is_dir():
        raise EmbeddedError(f"There is no directory {archive}.")
    if _PLAIN.fullmatch(str(archive)) is None:
        raise EmbeddedError(f"{archive}: an archive's path is of letters, digits and ._/@+- alone.")
    return archive


def archiving(home: Home) -> Mapping[str, str]:
    """Settings of a server that archives, if it is to. A file is there whole, or not at all."""
    said = (read_if_there(home.path / ARCHIVE) or "").strip()
    if not said:
        return {}
    there, fresh = f"{said}/%f", f"{said}/.%f.new"
    return {
        "archive_mode": "on",
        "archive_timeout": "60",
        "archive_command": f"if test -f {there}; then cmp -s %p {there};"
        f" else cp %p {fresh} && sync {fresh} && mv {fresh} {there}; fi",
    }
