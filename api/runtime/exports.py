"""Exports: whole lists as files, row after row, in memory that does not grow with them.

The formats are one list. The columns of a file are the fields of the model that pages show, so
that a page and a file say the same.
"""

import codecs
import csv
import json
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal
from io import BytesIO
from tempfile import TemporaryDirectory
from typing import Any, BinaryIO

from pydantic_core import to_jsonable_python

from projections.engine.answer import Answer

SHEET_ROWS = 1_048_576
CELL_CHARACTERS = 32_767
"""What a spreadsheet can hold."""
EXACT = 2**53
"""Whole numbers beyond it are text in a spreadsheet, which knows only floats."""
BLANK = " \u00a0\u3000\ufeff"
FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n", "＝", "＋", "－", "＠")
"""Text that begins so would be run by a spreadsheet that opens a CSV file."""

Cell = str | int | Decimal | None


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

    def cells(self, rows: Iterable[Answer]) -> Iterator[list[Cell]]:
        """The rows as cells, without the names of the columns."""
        for row in rows:
            yield [cell(getattr(row, column)) for column in self.columns]


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


def cell(value: Any) -> Cell:
    """A value in one cell: numbers stay numbers, everything else is text."""
    match value:
        case None:
            return None
        case bool():
            return "true" if value else "false"
        case int() | Decimal():
            return value
        case datetime() | date():
            return value.isoformat()
        case str():
            return str(value)
        case list() | tuple():
            return ", ".join(map(str, value))
    return json.dumps(to_jsonable_python(value), ensure_ascii=False)


def harmless(value: Cell) -> str:
    """A cell of a CSV file, which no spreadsheet takes for a formula."""
    if isinstance(value, str):
        return f"'{value}" if value.lstrip(BLANK).startswith(FORMULA) else value
    return "" if value is None else f"{value:f}" if isinstance(value, Decimal) else str(value)


def _csv(export: Export, rows: Iterator[Answer], out: BinaryIO) -> None:
    """RFC 4180 in UTF-8, with the mark by which spreadsheets know it."""
    lines = csv.writer(codecs.getwriter("utf-8-sig")(out))
    lines.writerow(export.columns)
    for cells in export.cells(rows):
        lines.writerow(map(harmless, cells))


def _jsonl(export: Export, rows: Iterator[Answer], out: BinaryIO) -> None:
    """First an object that says what it is of, then one a row."""
    about = {"export": export.name, **export.about}
    out.write(json.dumps(to_jsonable_python(about), ensure_ascii=False).encode() + b"\n")
    for row in rows:
        out.write(row.model_dump_json().encode() + b"\n")


class _Lent:
    """A file that is taken back: an archive that failed writes its end once more when the garbage
    collector comes by, into a file that is closed by then, or another's."""

    def __init__(self, file: BinaryIO) -> None:
        self.file = file

    def __getattr__(self, name: str) -> Any:
        return getattr(self.file, name)


def _xlsx(export: Export, rows: Iterator[Answer], out: BinaryIO) -> None:
    """One sheet with the rows, and one that says what they are of. No text becomes a formula."""
    import xlsxwriter  # type: ignore[import-untyped]
    from xlsxwriter.exceptions import FileCreateError  # type: ignore[import-untyped]

    with TemporaryDirectory(prefix="clubledger-") as aside:
        options = {
            "constant_memory": True,
            "tmpdir": aside,
            "strings_to_formulas": False,
            "strings_to_urls": False,
            "strings_to_numbers": False,
        }
        lent = _Lent(out)
        book = xlsxwriter.Workbook(lent, options)
        try:
            _fill(book, export, rows)
            book.close()
        except FileCreateError as error:
            raise error.args[0] from None
        finally:
            lent.file = BytesIO()
            for sheet in book.worksheets():  # which a refusal leaves open
                sheet.row_data_fh.close()


def _fill(book: Any, export: Export, rows: Iterator[Answer]) -> None:
    sheet = book.add_worksheet("rows")
    for number, cells in enumerate(_with_names(export, rows)):
        if number >= SHEET_ROWS:
            raise DoesNotFit("rows", SHEET_ROWS - 1)
        _write_row(sheet, number, cells)
    about = book.add_worksheet("about")
    for number, (name, value) in enumerate({"export": export.name, **export.about}.items()):
        _write_row(about, number, [name, cell(value)])


def _with_names(export: Export, rows: Iterator[Answer]) -> Iterator[Sequence[Cell]]:
    yield export.columns
    yield from export.cells(rows)


def _write_row(sheet: Any, number: int, cells: Sequence[Cell]) -> None:
    for column, value in enumerate(cells):
        if isinstance(value, int | Decimal) and -EXACT <= value <= EXACT:
            sheet.write_number(number, column, value)
        elif value is not None:
            text = str(value)
            if len(text) > CELL_CHARACTERS:
                raise DoesNotFit("characters in a cell", CELL_CHARACTERS)
            sheet.write_string(number, column, text)


FORMATS: dict[str, Format] = {
    "csv": Format("text/csv", _csv),
    "jsonl": Format("application/jsonl", _jsonl),
    "xlsx": Format("application/vnd.openxmlformats-officedocument.spreadsheetml.sheet", _xlsx),
}
"""Every format, by the name that ends a file."""
