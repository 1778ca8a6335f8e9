"""A data directory on a disk of its own, a tmpfs, that can be full at a word. It takes root."""

import os
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

SIZE_BYTES = 6 << 30
"""More than anybody writes: a tmpfs takes only what is in it."""


class NoDisk(Exception):
    """None can be made here."""


@contextmanager
def disk(place: Path) -> Iterator[Callable[[bool], None]]:
    """Mount one on `place`; yields fill(full): True leaves no room on it, False gives it back."""
    _run("mount", "-t", "tmpfs", "-o", f"size={SIZE_BYTES},mode=0711", "hostile", str(place))
    try:
        yield lambda full: _fill(place, full)
    finally:
        _run("umount", "--lazy", str(place))


def _fill(place: Path, full: bool) -> None:
    for _ in range(20):
        used = os.statvfs(place)
        size = (used.f_blocks - used.f_bfree) * used.f_frsize if full else SIZE_BYTES
        try:
            return _run("mount", "-o", f"remount,size={size}", str(place))
        except NoDisk:
            if not full:
                raise
    raise NoDisk("it grows faster than it can be filled")


def _run(*command: str) -> None:
    try:
        subprocess.run(command, check=True, capture_output=True)
    except FileNotFoundError as error:
        raise NoDisk(f"there is no {command[0]}") from error
    except subprocess.CalledProcessError as error:
        raise NoDisk(error.stderr.decode().strip()) from error
