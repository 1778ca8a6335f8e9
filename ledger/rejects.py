"""Rejected lines of an import: why each was, and where they go so that they can be mended."""

import io
import json
import os
import traceback
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import BinaryIO

from pydantic import ValidationError

from domain.catalogue import COMMANDS
from domain.kernel.refusal import Refusal
from ledger.strict_json import NotStrict

_DECLARED = frozenset(
    {"command", *COMMANDS, *(name for kind in COMMANDS.values() for name in kind.model_fields)}
)
"""What may be repeated of a bad line: the names that are ours."""


@dataclass(slots=True)
class Rejection:
    """A line that was not taken, and why, without the data in it."""

    line: int
    code: str
    reason: str


class Rejects:
    """Two files of the same length: the rejected lines as they came, and the reason of each.

    Either may be left out. Without the one for lines a bad line undoes its whole file.
    """

    def __init__(self, lines: BinaryIO | None = None, reasons: BinaryIO | None = None) -> None:
        self.keeps_good = lines is not None
        self.sealed = False
        self._lines, self._reasons = lines, reasons

    def begin(self) -> None:
        """Drop what another run through the same file wrote."""
        self.sealed = False
        for file in (self._lines, self._reasons):
            if file is not None:
                file.seek(0)
                file.truncate()

    def add(self, rejection: Rejection, text: bytes) -> None:
        """Write one down."""
        if self._lines is not None:
            self._lines.write(text + b"\n")
        if self._reasons is not None:
            self._reasons.write(json.dumps(asdict(rejection)).encode() + b"\n")

    def seal(self) -> None:
        """Make them durable: the good lines are committed next."""
        for file in (self._lines, self._reasons):
            if file is not None:
                file.flush()
                with suppress(io.UnsupportedOperation):  # it is not on a disk
                    os.fsync(file.fileno())
        self.sealed = True


def why(failure: Exception) -> tuple[str, str]:
    """(code, reason) of a rejected line: the numbers of a refusal, else no value of the line."""
    if isinstance(failure, Refusal):
        return failure.code, str(failure)
    if isinstance(failure, NotStrict):
        return failure.code, str(failure)
    if isinstance(failure, ValidationError):
        said = []
        for error in failure.errors(include_url=False, include_input=False, include_context=False):
            place = ".".join(str(part) if part in _DECLARED else "?" for part in error["loc"])
            known = error["type"] != "union_tag_invalid"  # whose message repeats the name
            message = error["msg"] if known else "there is no command of this name"
            said.append(f"{place}: {message}" if place else message)
        return "not_valid", "; ".join(said[:5])
    raise failure


def defect(failure: Exception) -> tuple[str, str]:
    """(code, reason) of a line on which a rule broke. Its message may hold data, so it is left."""
    where = traceback.extract_tb(failure.__traceback__)[-1]
    place = f"{'/'.join(Path(where.filename).parts[-2:])}:{where.lineno}"
    return "internal", f"this is a defect of clubledger: {type(failure).__name__} at {place}"
