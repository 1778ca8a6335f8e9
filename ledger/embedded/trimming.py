"""A ledger that is stopped gives back the files of its write-ahead log that a load left behind.

A checkpoint does not delete a file but renames it for later use, as many as the load before it
filled; and nothing deletes one that waits to be used. When the server has ended cleanly, whatever
lies behind the file of its last checkpoint holds nothing: `pg_resetwal` throws all of it away.
"""

import os
import re
import subprocess
from pathlib import Path

from ledger.embedded import binaries

KEPT_BYTES = 512 << 20
"""So much stays, made already for who writes next: `min_wal_size`, and for the same reason."""
_FILE = re.compile(r"[0-9A-F]{24}")


def trim(pgdata: Path, kept_bytes: int = KEPT_BYTES) -> int:
    """Delete the unused files beyond so many bytes; returns how many those were. It is for whoever
    holds the lock under which a server is started. One that did not end cleanly keeps all."""
    folder = pgdata / "pg_wal"
    files = sorted(name for name in os.listdir(folder) if _FILE.fullmatch(name))
    if sum((folder / name).stat().st_size for name in files) <= kept_bytes:
        return 0
    said = subprocess.run(
        [str(binaries.binary("pg_controldata")), str(pgdata)],
        capture_output=True,
        text=True,
        check=True,
        env={"LC_ALL": "C"},
    ).stdout
    known = dict(line.split(":", 1) for line in said.splitlines() if ":" in line)
    if known["Database cluster state"].strip() != "shut down":
        return 0
    last = known["Latest checkpoint's REDO WAL file"].strip()
    # Named by timeline and number, in hexadecimal digits: their order is that of their names.
    unused = [name for name in files if name[:8] == last[:8] and name > last]
    beyond = unused[kept_bytes // int(known["Bytes per WAL segment"]) :]
    for name in beyond:
        (folder / name).unlink()
    return len(beyond)
