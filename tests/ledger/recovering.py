"""A PostgreSQL that recovers from a crash, for as long as a test needs it to."""

import os
import signal
from contextlib import suppress
from pathlib import Path

import psycopg

from tests.patience import eventually


def crash(dsn: str) -> None:
    """Kill a backend with much to replay behind it: the postmaster starts over and recovers."""
    with psycopg.connect(dsn, autocommit=True) as connection:
        connection.execute("CREATE TABLE public.much AS SELECT generate_series(1, 1500000) n")
        os.kill(connection.info.backend_pid, signal.SIGKILL)


def children(pid: int) -> list[int]:
    """The processes that this one has started and not lost."""
    found = []
    for stat in Path("/proc").glob("[0-9]*/stat"):
        with suppress(OSError):
            if int(stat.read_text().rpartition(")")[2].split()[1]) == pid:
                found.append(int(stat.parent.name))
    return found


def startup_process(postmaster: int) -> int:
    """The process that replays, once there is one."""
    found: list[int] = []

    def look() -> bool:
        for child in children(postmaster):
            with suppress(OSError):
                if b"startup" in Path(f"/proc/{child}/cmdline").read_bytes():
                    found.append(child)
        return bool(found)

    assert eventually(look)
    return found[0]
