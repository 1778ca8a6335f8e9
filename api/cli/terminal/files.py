"""Files that a command writes: beside their place first, and put there when they are whole."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from pwd import getpwuid
from secrets import token_hex
from typing import BinaryIO

from api.cli.terminal import output
from api.cli.terminal.rejects import PRIVATE
from api.runtime.exports import FORMATS, DoesNotFit, Export
from api.runtime.failures import CannotWrite, Rejected, WrongUse


def operator() -> str:
    """Who makes a file here: whose process it is."""
    try:
        return f"cli:{getpwuid(os.getuid()).pw_name}"
    except KeyError:  # a container's user may have no name
        return f"cli:{os.getuid()}"


@dataclass(frozen=True)
class Target:
    """A file to write a list to, and whether one that is there already may be replaced."""

    path: Path
    force: bool

    def check(self) -> None:
        """Refuse what can be refused before any work is done."""
        if self.path.suffix[1:] not in FORMATS:
            endings = ", ".join(f".{name}" for name in FORMATS)
            raise WrongUse(f"The name of an export ends in one of {endings}.")
        self.check_place()

    def check_place(self) -> None:
        """The same of a file of any name."""
        try:
            there = self.path.exists()
        except OSError as error:
            raise CannotWrite(f"{self.path} cannot be written: {error.strerror}.") from error
        if there and not self.force:
            raise self._there_already()

    def write(self, export: Export, as_json: bool) -> int:
        """Write the list, and say where it is."""
        try:
            with self.file() as out:
                FORMATS[self.path.suffix[1:]].write(export, out)
        except DoesNotFit as large:
            raise Rejected(str(large), {"most": large.most}) from large
        size = self.path.stat().st_size
        if as_json:
            output.tell({"export": export.name, "file": str(self.path), "bytes": size})
        else:
            output.say(f"{export.name} is in {self.path}: {size:,} bytes")
        return 0

    @contextmanager
    def file(self) -> Iterator[BinaryIO]:
        """Take the place of the file at the end, if nothing went wrong until then."""
        beside = self.path.with_name(f".{self.path.name}.{token_hex(4)}")
        try:
            try:
                with open(beside, "xb", opener=_private) as out:
                    yield out
                    out.flush()
                    os.fsync(out.fileno())
                if self.force:
                    beside.replace(self.path)
                else:
                    self.path.hardlink_to(beside)  # Unlike a renaming, it replaces nothing.
            finally:
                beside.unlink(missing_ok=True)
        except FileExistsError as error:
            raise self._there_already() from error
        except OSError as error:
            raise CannotWrite(f"{self.path} cannot be written: {error.strerror}.") from error

    def _there_already(self) -> WrongUse:
        return WrongUse(f"{self.path} is there already: --force replaces it.")


def _private(path: str, flags: int) -> int:
    """A file for us alone: a list of members holds what is known of them."""
    return os.open(path, flags, PRIVATE)
