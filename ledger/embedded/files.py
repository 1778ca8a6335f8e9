"""Locks, and files that only their owner reads."""

import os
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from ledger.embedded.account import Account
from ledger.embedded.errors import EmbeddedError
from ledger.embedded.waiting import SILENT_S, Wait, process_shown

if sys.platform != "win32":
    import fcntl


def open_lock(path: Path, owner: Account) -> int:
    """The lock file, never through a symbolic link: root may work in another's directory."""
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    if os.geteuid() == 0:
        os.fchown(descriptor, owner.uid, owner.gid)
    return descriptor


def take(descriptor: int, *, shared: bool = False, wait: bool = True) -> bool:
    """Whether the lock was taken; it lasts until the last copy of the descriptor is closed.

    A child that inherits the descriptor holds such a copy.
    """
    how = (fcntl.LOCK_SH if shared else fcntl.LOCK_EX) | (0 if wait else fcntl.LOCK_NB)
    try:
        fcntl.flock(descriptor, how)
    except BlockingIOError:
        return False
    return True


@contextmanager
def locked(path: Path, owner: Account, call_off: threading.Event | None = None) -> Iterator[int]:
    """Hold the lock. Its file says who holds it, and is touched while he is alive and waits.

    Raises EmbeddedError when the holder has shown no sign of life for a minute.
    """
    descriptor = open_lock(path, owner)
    try:
        _take_in_time(descriptor, path, call_off)
        os.pwrite(descriptor, f"{os.getpid():<20}\n".encode(), 0)
        yield descriptor
    finally:
        os.close(descriptor)


def _take_in_time(descriptor: int, path: Path, call_off: threading.Event | None) -> None:
    def holder() -> str:
        said = os.pread(descriptor, 20, 0).decode("ascii", "replace").strip()
        return process_shown(int(said)) if said.isdigit() else "an unknown process"

    def told() -> str:
        return f"{holder()} starts or stops the server in {path.parent}"

    def touched() -> int:
        return os.fstat(descriptor).st_mtime_ns

    wait = Wait(told, SILENT_S, call_off=call_off, life=touched)
    while not take(descriptor, wait=False):
        if wait.over:
            raise EmbeddedError(
                f"{path} is held by {holder()}, which has shown no sign of life for"
                f" {wait.limit_s:.0f} s: let it go on, or end it."
            )
        wait.pause()


def write_private(path: Path, text: str, owner: Account) -> None:
    """Replace the file durably, mode 0600: a reader sees the old text or the new one."""
    fresh = path.with_name(f".{path.name}.new")
    with suppress(FileNotFoundError):
        fresh.unlink()
    descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
    with open(descriptor, "w", encoding="utf-8") as file:
        if os.geteuid() == 0:
            os.fchown(descriptor, owner.uid, owner.gid)
        file.write(text)
        file.flush()
        os.fsync(descriptor)
    fresh.rename(path)
    sync_directory(path.parent)


def sync_directory(path: Path) -> None:
    """A rename is durable once its directory is."""
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def read_if_there(path: Path) -> str | None:
    """The text of the file, or None if there is no such file."""
    try:
        return path.read_text(encoding="utf-8", errors="replace")
    except FileNotFoundError:
        return None
