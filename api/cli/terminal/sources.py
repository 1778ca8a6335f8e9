"""What a command reads: a file by its name, or the standard input."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from api.runtime.failures import WrongUse


@contextmanager
def source(name: str) -> Iterator[BinaryIO]:
    """The file of this name, or stdin for `-`; one that cannot be read is wrong use."""
    if not name:
        raise WrongUse("A file has a name; `-` is the standard input.")
    try:
        if name != "-":
            with Path(name).open("rb") as file:
                yield file
        elif sys.stdin is None:
            raise WrongUse("There is no standard input.")
        else:
            yield sys.stdin.buffer
    except OSError as error:
        raise WrongUse(f"{name} cannot be read: {error.strerror}.") from error
