"""Rejected lines of an import: why each was, and where they go so that they can be mended."""

import io
import json
import os
import traceback
from collections import Counter
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

from pydantic import ValidationError
from pydantic_core import to_jsonable_python

from domain.catalogue import COMMANDS
from domain.kernel.command import Command
from domain.kernel.refusal import Refusal
from ledger.strict_json import NotStrict

_FIELDS = frozenset(name for kind in COMMANDS.values() for name in kind.model_fields)
_DECLARED = frozenset({"command", *COMMANDS, *_FIELDS})
"""What may be repeated of a bad line: the names that are ours."""


@dataclass(slots=True)
class Rejection:
    """A line that was not taken, and why, without the data in it."""

    line: int
    code: str
    reason: str
    file: int = 0  # its number among those of the import
    field: str | None = None  # of the command, to which the reason goes back
    command: str | None = None
    member_id: str | None = None
    key: str | None = None  # that the line brought
    numbers: dict[str, Any] | None = None  # that decided, of a refusal

    def told(self) -> dict[str, Any]:
        """As a file of reasons has it."""
        known = {k: v for k, v in asdict(self).items() if k != "file" and v is not None}
        return known | ({"file": self.file + 1} if self.file else {})


class Rejects:
    """Two files of the same length: the rejected lines as they came, and the reason of each.

    Either may be left out. Without the one for lines a bad line undoes its whole file.
    """

    def __init__(self, lines: BinaryIO | None = None, reasons: BinaryIO | None = None) -> None:
        self.keeps_good = lines is not None
        self.sealed = False
        self.by_kind = Counter[tuple[int, str]]()
        """How many lines of each file, by its number, were rejected with each code."""
        self._lines, self._reasons = lines, reasons

    @property
    def by_code(self) -> dict[str, int]:
        """How many lines were rejected with each code, the most frequent first."""
        found = Counter[str]()
        for (_, code), count in self.by_kind.items():
            found[code] += count
        return dict(found.most_common())

    def begin(self) -> None:
        """Drop what another run through the same file wrote."""
        self.sealed = False
        self.by_kind.clear()
        for file in (self._lines, self._reasons):
            if file is not None:
                file.seek(0)
                file.truncate()

    def add(self, rejection: Rejection, text: bytes) -> bool:
        """Write one down; says whether it is the first of its file with its code."""
        self.by_kind[rejection.file, rejection.code] += 1
        if self._lines is not None:
            self._lines.write(text + b"\n")
        if self._reasons is not None:
            told = json.dumps(self.told(rejection), ensure_ascii=False)  # people read it
            # Half a character, of a text that is no JSON for us, stands as JSON escapes it.
            self._reasons.write(told.encode(errors="backslashreplace") + b"\n")
        return self.by_kind[rejection.file, rejection.code] == 1

    def told(self, rejection: Rejection) -> dict[str, Any]:
        """What is told of one."""
        return rejection.told()

    def seal(self) -> None:
        """Make them durable: the good lines are committed next."""
        for file in (self._lines, self._reasons):
            if file is not None:
                file.flush()
                with suppress(io.UnsupportedOperation):  # it is not on a disk
                    os.fsync(file.fileno())
        self.sealed = True


class Why(NamedTuple):
    """Why a line is rejected, and to which field of its command that goes back, if it is known."""

    code: str
    reason: str
    field: str | None = None
    numbers: dict[str, Any] | None = None


def why(failure: Exception, command: Command | None = None) -> Why:
    """Of a rejected line: the numbers of a refusal, else no value of the line."""
    if isinstance(failure, Refusal):
        numbers = to_jsonable_python(failure.numbers()) or None
        return Why(failure.code, str(failure), _field_of(failure, command), numbers)
    if isinstance(failure, NotStrict):
        return Why(failure.code, str(failure))
    if isinstance(failure, ValidationError):
        said = []
        field = None
        for error in failure.errors(include_url=False, include_input=False, include_context=False):
            place = ".".join(str(part) if part in _DECLARED else "?" for part in error["loc"])
            field = field or next((p for p in error["loc"] if p in _FIELDS), None)
            known = error["type"] != "union_tag_invalid"  # whose message repeats the name
            message = error["msg"] if known else "there is no command of this name"
            said.append(f"{place}: {message}" if place else message)
        return Why("not_valid", "; ".join(said[:5]), None if field is None else str(field))
    raise failure


def _field_of(refusal: Refusal, command: Command | None) -> str | None:
    """The field of a command to which a refusal goes back."""
    if command is None:
        return None
    named = [*refusal.numbers(), *vars(refusal)]
    if refusal.code.startswith("unknown_"):
        named.insert(0, f"{refusal.code.removeprefix('unknown_')}_id")
    named += _ASKED_AT.get(refusal.code, ())
    return next((name for name in named if name in type(command).model_fields), None)


_ASKED_AT: dict[str, tuple[str, ...]] = {
    "dated_in_future": ("at",),
    "before_joining": ("at",),
    "club_closed": ("at",),
    "not_open_yet": ("at",),
    "campaign_not_open": ("at",),
    "campaign_over": ("at",),
    "left_the_network": ("at",),
    "not_come_yet": ("month", "taken_on", "at"),
    "bill_too_late": ("month",),
    "too_long_ago": ("month", "at"),
    "already_billed": ("month",),
    "already_joined": ("member_id",),
    "not_enough_points": ("points", "shown_points"),
    "not_eligible": ("club_id",),
    "price_changed": ("shown_points",),
    "nothing_changes": ("tier", "important", "title"),
}
"""Where the numbers of a refusal are of other names than the fields that it goes back to."""


def defect(failure: Exception) -> Why:
    """(code, reason) of a line on which a rule broke. Its message may hold data, so it is left."""
    where = traceback.extract_tb(failure.__traceback__)[-1]
    place = f"{'/'.join(Path(where.filename).parts[-2:])}:{where.lineno}"
    return Why("internal", f"this is a defect of clubledger: {type(failure).__name__} at {place}")
