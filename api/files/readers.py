"""Tables out of files: CSV in whatever encoding and with whatever separator, workbooks, JSON Lines.

A file is copied while it is read, as every import does: what was looked at is what is taken. Each
table gives its rows as lists of texts with the numbers that a reader of the file sees.
"""

import codecs
import csv
import os
import re
import subprocess
import sys
from collections import Counter
from collections.abc import Generator, Iterable, Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from tempfile import gettempdir
from typing import BinaryIO, Literal, TypeAlias

import msgspec

from api.files import workbook
from api.runtime.failures import NO_ROOM, CannotWrite, Rejected
from ledger.lines import BLOCK_BYTES, Lines, Readable
from ledger.lines import read as read_lines
from ledger.scratch import scratch

MOST_CELL = 65_536
"""Characters of one cell: a line of facts is no longer."""
MOST_COLUMNS = 1_000
TOGETHER, TOGETHER_CHARACTERS = 1_000, 1 << 20
"""Rows of a CSV that are looked at together, fewer if they are long."""
SEPARATORS = ",;\t|"
WORKBOOKS = (b"PK\x03\x04", b"\xd0\xcf\x11\xe0")
"""How workbooks begin, of today and of the days before."""
ENCODINGS = ("utf-8", "gb18030")
"""Tried in this order where a file has no mark."""
MARKS = {
    codecs.BOM_UTF16_LE: "utf-16",
    codecs.BOM_UTF16_BE: "utf-16",
}
PACKED = {b"\x1f\x8b": "gzip", b"\xfd7zXZ\0": "xz", b"(\xb5/\xfd": "zstd"}
"""How files begin that were compressed: no text does."""
_REJECTS_OF = re.compile(r"^(?P<file>.+\.(?:xlsx|xlsm|xls|xlsb|ods))#(?P<sheet>.+)\.csv$", re.I)

csv.field_size_limit(MOST_CELL)

Row: TypeAlias = tuple[int, list[str]]
"""Its number in the file, from 1, and its cells."""
Kind = Literal["csv", "workbook", "jsonl"]


class Unreadable(Rejected):
    """A file that cannot be read as what it is."""

    def __init__(self, file: str, why: str, line: int | None = None) -> None:
        where = f"{file}, line {line}" if line else file
        more = {"file": file, **({"line": line} if line else {})}
        super().__init__(f"{where}: {why}.", {"reason": "unreadable_file", **more})


@dataclass
class File:
    """A file as it was when it was read."""

    name: str
    lines: Lines
    kind: Kind
    encoding: str = ""
    separator: str = ""
    begun: "_Workbook | None" = None
    """What is being read of it already."""

    @property
    def digest(self) -> str:
        """Of its bytes."""
        return self.lines.digest

    @property
    def copy(self) -> BinaryIO:
        """It as it was."""
        return self.lines.copy

    @property
    def called(self) -> tuple[str, str | None]:
        """The name by which a mapping knows it, and its sheet if it holds the rejects of one."""
        name = Path(self.name).name
        rejects = _REJECTS_OF.match(name) if self.kind == "csv" else None
        return (rejects["file"], rejects["sheet"]) if rejects else (name, None)


@contextmanager
def read(name: str, source: Readable, *, whole: bool = False) -> Iterator[File]:
    """Copy a file, and see what it is. `whole`: begin to read a workbook whose rows will all be
    asked for."""
    with ExitStack() as stack:
        try:
            lines = stack.enter_context(read_lines(source, WORKBOOKS))
        except OSError as error:
            if error.errno not in NO_ROOM:
                raise
            raise CannotWrite(
                f"{name} does not fit into {gettempdir()}, where it is copied to while it is"
                " read: TMPDIR names another directory."
            ) from error
        lines.copy.seek(0)
        begins = lines.copy.read(BLOCK_BYTES)
        file = File(name, lines, "jsonl")
        if begins.startswith(WORKBOOKS):
            file.kind = "workbook"
            if whole:
                file.begun = stack.enter_context(closing(_Workbook(file)))
        elif not expected_facts(begins):
            file.kind = "csv"
            file.encoding = _encoding_of(file)
            file.separator = _separator_of(file)
        yield file


def expected_facts(begins: bytes) -> bool:
    """Whether a file that begins so is meant as one of facts: an object a line, or nothing."""
    return begins.lstrip()[:1] in (b"{", b"")


# ------------------------------------------------------------------------------------------ CSV
def _encoding_of(file: File) -> str:
    """The first that fits: a mark, UTF-8, GB18030. Anything else is refused with the place."""
    file.copy.seek(0)
    begins = file.copy.read(4096)
    for mark, packed in PACKED.items():
        if begins.startswith(mark):
            raise Unreadable(file.name, f"it is compressed by {packed}: unpack it first")
    for mark, encoding in MARKS.items():
        if begins.startswith(mark):
            return _required(file, encoding)
    if begins.count(0) * 4 > len(begins) > 1:  # UTF-16 without its mark: every other byte of ASCII
        return _required(file, "utf-16-le" if begins[1] == 0 else "utf-16-be")
    failed = {encoding: _undecodable(file, encoding) for encoding in ENCODINGS}
    fits = next((encoding for encoding, place in failed.items() if place is None), None)
    if fits is None:
        places = [f"no {name.upper()} (line {place})" for name, place in failed.items()]
        raise Unreadable(file.name, f"it is {' and '.join(places)}", failed["utf-8"])
    return fits


def _required(file: File, encoding: str) -> str:
    line = _undecodable(file, encoding)
    if line is not None:
        raise Unreadable(file.name, f"it begins as {encoding.upper()} and goes on as none", line)
    return encoding


def _undecodable(file: File, encoding: str) -> int | None:
    """The line with the first byte that this encoding does not have; null if it fits."""
    file.copy.seek(0)
    decoder, line = codecs.getincrementaldecoder(encoding)(), 1
    while block := file.copy.read(BLOCK_BYTES):
        try:
            line += decoder.decode(block).count("\n")
        except UnicodeDecodeError as error:
            return line + bytes(error.object)[: error.start].count(b"\n")
    try:
        decoder.decode(b"", final=True)
    except UnicodeDecodeError:
        return line
    return None


def _text(file: File) -> Generator[str]:
    """Its lines, with what ends them. Who reads no further closes it."""
    file.copy.seek(0)
    # A descriptor of its own: whoever reads no further closes it, and the copy stays open.
    with os.fdopen(os.dup(file.copy.fileno()), encoding=file.encoding, newline="") as text:
        for number, line in enumerate(text, start=1):
            if "\0" in line:
                raise Unreadable(file.name, "it holds a NUL byte: it is no text", number)
            yield line


def _separator_of(file: File) -> str:
    """What stands most evenly between the cells of the first lines."""
    with closing(_text(file)) as text:
        lines = [re.sub(r'"[^"]*"', "", line) for line in islice(text, 20)]
    lines = [line for line in lines if line.strip()]

    def evenly(separator: str) -> tuple[int, int]:
        counts = Counter(line.count(separator) for line in lines)
        cells, how_often = max(counts.items(), key=lambda each: (bool(each[0]) * each[1], each[0]))
        return (how_often if cells else 0, cells)

    return max(SEPARATORS, key=evenly) if lines else ","


def _rows_of_csv(file: File) -> Generator[Row]:
    with closing(_text(file)) as text:
        reader = csv.reader(text, delimiter=file.separator, strict=True)
        begun = 1
        try:
            for row in reader:
                yield begun, row
                begun = reader.line_num + 1
        except csv.Error as error:
            raise Unreadable(file.name, _why(str(error), reader.line_num > begun), begun) from None


def _why(said: str, goes_on: bool) -> str:
    """What is wrong with a row that is none; `goes_on`: over several lines."""
    if "unexpected end of data" in said or goes_on:
        return "a quote that is opened in this row is never closed"
    if "field limit" in said:
        return f"a cell is longer than {MOST_CELL:,} characters"
    return f"it is no CSV: {said}"


# ------------------------------------------------------------------------------------ workbooks
_decode = msgspec.json.Decoder(list[list[str]] | dict[str, str]).decode


class _Workbook:
    """What a process of its own says of a workbook, which it begins to read at once."""

    def __init__(self, file: File, most_rows: int | None = None) -> None:
        file.copy.seek(0)
        self._name = file.name
        rows = [] if most_rows is None else [str(most_rows)]
        self._stack = ExitStack()
        self._complaints = self._stack.enter_context(scratch())
        self._process = subprocess.Popen(
            [sys.executable, "-P", workbook.__file__, *rows],
            stdin=file.copy,
            stdout=subprocess.PIPE,
            stderr=self._complaints,
        )

    def told(self) -> Iterator[str | list[list[str]]]:
        """Of each sheet its name, then its rows, many at once."""
        assert self._process.stdout is not None
        for line in self._process.stdout:
            told = _decode(line)
            if isinstance(told, dict):
                yield told["sheet"]
            else:
                yield told
        if self._process.wait():
            self._complaints.seek(0)
            raise Unreadable(self._name, _complaint(self._complaints.read(1 << 16)))

    def close(self) -> None:
        """Whoever wants no more ends it."""
        assert self._process.stdout is not None
        self._process.stdout.close()
        self._process.kill()
        self._process.wait()
        self._stack.close()


def _complaint(said: bytes) -> str:
    text = said.decode(errors="replace").strip()
    if text.startswith("says: "):
        return f"it cannot be read as a workbook: {text.removeprefix('says: ').splitlines()[0]}"
    if "memory" in text:
        return f"it would need more than {workbook.MEMORY_BYTES >> 30} GiB of memory to be read"
    return "it cannot be read as a workbook"


# ---------------------------------------------------------------------------------------- tables
def blocks(
    file: File, most_rows: int | None = None
) -> Generator[tuple[str | None, Sequence[int], list[list[str]]]]:
    """(sheet, numbers of rows, rows) of each table of a file in turn, many rows at once; of a CSV
    the sheet is null."""
    if file.kind == "csv":
        with closing(_rows_of_csv(file)) as rows:
            for some in _together(islice(rows, most_rows)):
                yield None, [number for number, _ in some], [row for _, row in some]
        return
    begun, file.begun = file.begun, None
    with closing(begun or _Workbook(file, most_rows)) as reader:
        sheet, number = "", 1
        for told in reader.told():
            if isinstance(told, str):
                sheet, number = told, 1
            elif told:
                yield sheet, range(number, number + len(told)), told
                number += len(told)


def _together(rows: Iterable[Row]) -> Iterator[list[Row]]:
    """Rows in lists that fit into memory."""
    some: list[Row] = []
    characters = 0
    for row in rows:
        some.append(row)
        characters += sum(map(len, row[1]))
        if len(some) == TOGETHER or characters > TOGETHER_CHARACTERS:
            yield some
            some, characters = [], 0
    if some:
        yield some


def sheet_rows(file: File, most_rows: int | None = None) -> Generator[tuple[str | None, Row]]:
    """(sheet, row) of each table of a file in turn; of a CSV the sheet is null."""
    if file.kind == "csv":
        with closing(_rows_of_csv(file)) as rows:
            yield from ((None, row) for row in islice(rows, most_rows))
        return
    with closing(blocks(file, most_rows)) as found:
        for sheet, numbers, some in found:
            yield from ((sheet, row) for row in zip(numbers, some, strict=True))


def require_narrow(file: str, number: int, row: Sequence[str]) -> None:
    """A table of so many columns is none."""
    if len(row) > MOST_COLUMNS:
        why = f"it has {len(row):,} columns: {MOST_COLUMNS:,} at most"
        raise Unreadable(file, why, number)


def lines_of(file: File) -> Iterator[tuple[int, bytes]]:
    """The lines of a file of facts."""
    yield from enumerate(file.lines(), start=1)
