"""Where `--keep-good` puts what was rejected: the lines in one file, their reasons in another.

Both are written beside their places under names made of the import's key, made durable before the
good lines are committed, and put in place after that. Whoever is killed in between finds them when
the same file is imported again; one that never got so far is in nobody's way.
"""

import fcntl
import os
import shutil
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from api.runtime.failures import CannotWrite, WrongUse
from ledger.rejects import Rejects

PRIVATE = 0o600
"""A rejected line may hold a name and a phone number."""


def reasons_of(path: Path) -> Path:
    """The file of the reasons, a line for each line of the other."""
    return path.with_name(f"{path.name}.reasons")


@dataclass
class Held:
    """The two files while they are written; for tables the first is a directory of files."""

    path: Path
    parts: tuple[Path, Path]
    lines: BinaryIO | None
    reasons: BinaryIO
    rejects: Rejects | None = None

    @property
    def directory(self) -> Path:
        """Where the rejects of tables are written."""
        return self.parts[0]

    def place(self, rejected: int) -> bool:
        """Put them where they were asked for, if they hold so many lines; else drop them."""
        self.reasons.flush()
        self.reasons.seek(0)
        whole = bool(rejected) and sum(1 for _ in self.reasons) == rejected
        places = (self.path, reasons_of(self.path))
        for part, place in zip(self.parts, places, strict=True):
            if not whole:
                _drop(part)
            elif os.path.lexists(place):  # since we looked
                raise CannotWrite(f"{place} is there by now: the rejects are in {self.parts[0]}.")
            else:
                part.rename(place)
        return whole


def _drop(part: Path) -> None:
    if part.is_dir():
        shutil.rmtree(part)
    else:
        part.unlink(missing_ok=True)


@contextmanager
def held(path: Path, key: str, tables: bool = False) -> Iterator[Held]:
    """Files of our own for what an import under this key rejects, for these places."""
    if not path.name or path == Path("-"):  # two files do not go into one stream
        raise WrongUse("--keep-good takes the name of a new file, or directory for tables.")
    part = path.with_name(f".{path.name}.{key[:8]}")
    parts = (part, reasons_of(part))
    with ExitStack() as stack:
        try:
            for place in (path, reasons_of(path)):
                if os.path.lexists(place):
                    raise WrongUse(f"{place} is there already: name a new one for the rejects.")
            lines = None if tables else stack.enter_context(_own(parts[0]))
            reasons = stack.enter_context(_own(parts[1]))
        except BlockingIOError:
            raise WrongUse(f"Another import is writing {path}.") from None
        except OSError as error:
            raise CannotWrite(f"{path} cannot be written: {error.strerror}.") from error
        files = Held(path, parts, lines, reasons)
        try:
            yield files
        except BaseException:
            if files.rejects is None or not files.rejects.sealed:  # else the good lines may be in
                for each in parts:
                    _drop(each)
            raise


def _own(path: Path) -> BinaryIO:
    """Open a file for us alone, as it is if it is there."""
    flags = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW
    file = os.fdopen(os.open(path, flags, PRIVATE), "r+b")
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BaseException:
        file.close()
        raise
    return file
