"""Directories for servers, which leave nothing behind: not even where tests are killed.

    python tests/places.py PREFIX

waits for the end of its standard input, and clears what is left of directories that begin so. It
needs nothing but Python itself, so that it starts in no time.
"""

import fcntl
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import cache
from pathlib import Path

MEMORY = Path("/dev/shm")
ROOM_BYTES = 4 << 30
USUAL = Path("/tmp")


def in_memory() -> Path | None:
    """Where files are quickest, if this machine has such a place and room in it."""
    roomy = MEMORY.is_dir() and shutil.disk_usage(MEMORY).free > ROOM_BYTES
    return MEMORY if roomy else None


@contextmanager
def empty_directory() -> Iterator[Path]:
    """A directory that the server's account can enter, which pytest's own may not be."""
    with tempfile.TemporaryDirectory(prefix=prefix(), dir=in_memory() or USUAL) as path:
        yield Path(path).resolve()


@contextmanager
def place(where: Path | None = None) -> Iterator[Path]:
    """A directory that the server's account can enter; no server and no file of it is left behind.

    pytest's own directories are closed to everybody else, and PostgreSQL does not run as root.
    """
    directory = Path(tempfile.mkdtemp(prefix=prefix(), dir=where or USUAL))
    directory.chmod(0o711)
    try:
        yield directory
    finally:
        clear(directory)


def clear(directory: Path) -> None:
    """End every server on data below this directory, and delete all that it had."""
    kill_servers(directory)
    for record in directory.rglob("socket_dir"):
        shutil.rmtree(record.read_text().strip(), ignore_errors=True)
    shutil.rmtree(directory)


def kill_servers(directory: Path) -> None:
    """End every server on data below this directory."""
    for pid_file in directory.rglob("postmaster.pid"):
        _kill_server(pid_file)


def _kill_server(pid_file: Path) -> None:
    """A server that a failed test left running; SIGQUIT ends it and its children at once."""
    lines = pid_file.read_text().splitlines()
    if lines[0] == str(os.getpid()) or not (Path(lines[4]) / f".s.PGSQL.{lines[3]}").exists():
        return
    with suppress(ProcessLookupError):
        os.kill(int(lines[0]), signal.SIGQUIT)
    with (pid_file.parents[1] / "server.lock").open("rb") as lock:
        fcntl.flock(lock, fcntl.LOCK_SH)  # Its last process holds it.


WATCHING: list[subprocess.Popen[bytes]] = []


@cache
def prefix() -> str:
    """How the names of our directories begin. Once it is asked for they are watched: when this
    process ends, however it does, what is left of them is cleared."""
    ours = f"clubledger-test-{os.getpid()}-"
    command = [sys.executable, "-I", "-S", __file__, ours]
    WATCHING.append(subprocess.Popen(command, stdin=subprocess.PIPE, start_new_session=True))
    return ours


def watch(ours: str) -> None:
    """Clear what is left once nobody can write to us any more."""
    sys.stdin.buffer.read()
    for where in (MEMORY, USUAL):
        for left in where.glob(f"{ours}*"):
            clear(left)


if __name__ == "__main__":
    watch(sys.argv[1])
