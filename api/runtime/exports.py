"""Exports: whole lists as files, row after row, in memory that does not grow with them.

The formats are one list. The columns of a file are the fields of the model that pages show, so
that a page and a file say the same. Each file says itself what it is of, and as of when.
"""

import codecs
import csv
import json
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal
from operator import attrgetter
from typing import Any, BinaryIO, TypeAlias

from pydantic_core import to_jsonable_python

from api.runtime.sheets import TooLarge, book
from projections.engine.answer import Answer

BLANK = " \u00a0\u3000\ufeff"
FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n", "＝", "＋", "－", "＠")
"""Text that begins so would be run by a spreadsheet that opens a CSV file."""
_RUN = re.compile(f"[{BLANK}]*[{re.escape(''.join(FORMULA))}]")
_SPLIT = re.compile('[,;|\t\r\n"\v\f\x1c-\x1e\x85\u2028\u2029]')
"""What a reader of tables may end a cell or a line with, however it is set up."""

Cell: TypeAlias = str | int | Decimal | date | None
"""A day or an instant is one; an instant has its offset."""


@dataclass(frozen=True)
class Export:
    """A list to be written: its rows are views of one kind, made as they are asked for.

    They are opened to be read, so that the cursor behind them is closed by who read them: left to
    the garbage collector, it would be closed in the midst of somebody else's question.
    `name` is that of the file, without what the format adds; `about` says what the list is of.
    """

    name: str
    about: Mapping[str, Any]
    kind: type[Answer]
    rows: AbstractContextManager[Iterator[Answer]]

    @property
    def columns(self) -> list[str]:
        return list(self.kind.model_fields)

    @property
    def safe_name(self) -> str:
        """The name with nothing in it that a file's name or a header must not hold."""
        return re.sub(r"[^A-Za-z0-9._-]", "_", self.name)

    @property
    def said(self) -> dict[str, Any]:
        """What the file says of itself, as JSON has it."""
        said: dict[str, Any] = to_jsonable_python({"export": self.name, **self.about})
        return said

    def cells(self, rows: Iterable[Answer]) -> Iterator[list[Cell]]:
        """The rows as cells, without the names of the columns."""
        columns = self.columns
        values = attrgetter(*columns) if len(columns) > 1 else lambda row: (getattr(row, *columns),)
        for row in rows:
            yield [v if type(v) in _CELLS else cell(v) for v in values(row)]


class DoesNotFit(Exception):
    """The list is too large for a spreadsheet; the message says for what, and what else there is"""

    def __init__(self, what: str, most: int) -> None:
        others = " or ".join(name for name in FORMATS if name != "xlsx")
        super().__init__(f"A spreadsheet holds at most {most:,} {what}: take {others}.")
        self.most = most


@dataclass(frozen=True)
class Format:
    """How a file is written, and what it is called over HTTP."""

    media_type: str
    fill: Callable[[Export, Iterator[Answer], BinaryIO], None]

    def write(self, export: Export, out: BinaryIO) -> None:
        """Write the list, once."""
        with export.rows as rows:
            self.fill(export, rows, out)


_CELLS = frozenset((str, int, Decimal, datetime, date, type(None)))


def cell(value: Any) -> Cell:
    """A value in one cell."""
    match value:
        case bool():
            return "true" if value else "false"
        case None | int() | Decimal() | date():
            return value
        case str():
            return str(value)
        case list() | tuple():
            return ", ".join(map(str, value))
    return json.dumps(to_jsonable_python(value), ensure_ascii=False)


def harmless(value: Cell) -> str | int:
    """A cell of a CSV file, which no spreadsheet takes for a formula."""
    if type(value) is int:
        return value
    if type(value) is str:
        return f"'{value}" if _RUN.match(value) else value
    match value:
        case None:
            return ""
        case Decimal():
            return f"{value:f}"
        case date():
            return value.isoformat()
    return str(value)


def flat(said: Mapping[str, Any], under: str = "") -> Iterator[tuple[str, Cell]]:
    """What a file says of itself as names and plain values."""
    for name, value in said.items():
        if isinstance(value, Mapping):
            yield from flat(value, f"{under}{name}.")
        else:
            yield f"{under}{name}", cell(value)


def _csv(export: Export, rows: Iterator[Answer], out: BinaryIO) -> None:
    """RFC 4180 in UTF-8, with the mark by which spreadsheets know it, below comments that say what
    it is of: nothing in them ends a cell, so that nothing in them begins one."""
    text = codecs.getwriter("utf-8-sig")(out)
    for name, value in flat(export.said):
        said = _SPLIT.sub(lambda found: f"\\u{ord(found[0]):04x}", str(harmless(value)))
        text.write(f"# {name}: {said}\r\n")
    lines = csv.writer(text)
    lines.writerow(export.columns)
    lines.writerows([harmless(value) for value in row] for row in export.cells(rows))


def _jsonl(export: Export, rows: Iterator[Answer], out: BinaryIO) -> None:
    """First an object that says what it is of, then one a row."""
    out.write(json.dumps(export.said, ensure_ascii=False).encode() + b"\n")
    for row in rows:
        out.write(row.model_dump_json().encode() + b"\n")


def _xlsx(export: Export, rows: Iterator[Answer], out: BinaryIO) -> None:
    """One sheet with the rows, and one that says what they are of. No text becomes a formula."""
    try:
        with book(out) as add:
            add("rows", export.columns, export.cells(rows))
            add("about", ("name", "value"), flat(export.said))
    except TooLarge as large:
        raise DoesNotFit(*large.args) from None


FORMATS: dict[str, Format] = {
    "csv": Format("text/csv", _csv),
    "jsonl": Format("application/jsonl", _jsonl),
    "xlsx": Format("application/vnd.openxmlformats-officedocument.spreadsheetml.sheet", _xlsx),
}
"""Every format, by the name that ends a file."""
