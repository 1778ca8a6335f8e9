"""Scratch: files without a name, gone with the process that holds them. They lie on the disk, where
there is room; or, in a process that works at what strangers have brought, in memory alone.
"""

import os
import resource
import sys
from errno import EFBIG
from tempfile import TemporaryFile
from typing import BinaryIO, cast
from weakref import WeakSet


class InMemory:
    """How scratch files of this process are kept in memory, and how much there may be of them."""

    def __init__(self) -> None:
        self.most_bytes: int | None = None
        self._open: WeakSet[BinaryIO] = WeakSet()

    def begin(self, most_bytes: int) -> None:
        """From now on, so much of all and of each."""
        self.most_bytes = most_bytes
        resource.setrlimit(resource.RLIMIT_FSIZE, (most_bytes, most_bytes))

    def file(self) -> BinaryIO:
        """One more. Raises OSError where those that are there take too much."""
        assert self.most_bytes is not None
        held = sum(os.fstat(each.fileno()).st_size for each in self._open if not each.closed)
        if held > self.most_bytes:
            raise OSError(EFBIG, os.strerror(EFBIG))
        made = cast(BinaryIO, os.fdopen(os.memfd_create("scratch"), "w+b"))
        self._open.add(made)
        return made


IN_MEMORY = InMemory()
"""Of this process, as `values.PROGRAMME` is its clock."""


def scratch() -> BinaryIO:
    """A file to write and read again."""
    if IN_MEMORY.most_bytes is not None and sys.platform == "linux":
        return IN_MEMORY.file()
    return cast(BinaryIO, TemporaryFile())
