"""Sheets: rows as an xlsx file, written as they come, in memory that does not grow with them.

A cell is a few characters of XML, made by the type of its value alone. A library that keeps a
picture of the whole sheet, or asks of each cell what it might be, takes three times as long; what
is needed of the format (ECMA-376) is short. Whoever reads it should see numbers as numbers, days
and instants as such by the programme's clocks with their offset, and text as text, whatever it
looks like.
"""

import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from datetime import date, datetime, timedelta, timezone
from decimal import Decimal
from io import BytesIO
from itertools import chain, islice
from typing import IO, Any, BinaryIO
from xml.sax.saxutils import quoteattr
from zipfile import ZIP_DEFLATED, ZipFile

SHEET_ROWS = 1_048_576
CELL_CHARACTERS = 32_767
SHEET_BYTES = 2**31 - 1
"""What a spreadsheet, and an archive that every spreadsheet opens, can hold."""
EXACT = 2**53
"""Whole numbers beyond it are text in a spreadsheet, which knows only floats."""
FIRST_DAY = 61
"""1 March 1900: before it, spreadsheets count a day that there never was."""
MEASURED_ROWS = 200
"""So many rows tell how wide the columns have to be."""
NARROW, WIDE = 6, 60
NUMBERED = re.compile(r"(^|_)(bucket|position|version|year|lot|visit|binding|line|number)s?$")
"""Columns whose numbers name something: nobody reads them in thousands."""
DAY_NUMBER = date(1899, 12, 30).toordinal()

_NS = "http://schemas.openxmlformats.org"
_HEAD = '<?xml version="1.0" encoding="UTF-8" standalone="yes"?>\n'
_TYPES = "application/vnd.openxmlformats-officedocument.spreadsheetml"
_PLAIN, _BOLD, _WHOLE, _DAY = range(4)
_FIXED_FORMATS = ("General", "General", "#,##0", "yyyy-mm-dd")
"""Of the styles that are always there, in their order; offsets of instants come behind them."""
_ODD = re.compile("[&<>\x00-\x08\x0b-\x1f\ufffe\uffff]|_x[0-9A-Fa-f]{4}_")
_NAMED = {"&": "&amp;", "<": "&lt;", ">": "&gt;"}


class TooLarge(Exception):
    """(what, most): more of it than a spreadsheet holds."""


def _escaped(found: re.Match[str]) -> str:
    """What XML has no word for, as spreadsheets write it; and what would be read as such."""
    text = found[0]
    if text[0] == "_":
        return f"_x005F{text}"
    return _NAMED.get(text) or f"_x{ord(text):04X}_"


def text_of(value: str) -> str:
    """Text as it stands in XML."""
    if len(value) > CELL_CHARACTERS:
        raise TooLarge("characters in a cell", CELL_CHARACTERS)
    return _ODD.sub(_escaped, value) if _ODD.search(value) else value


def letters(column: int) -> str:
    """A, B, ... Z, AA for columns from 0 on."""
    name = ""
    column += 1
    while column:
        column, rest = divmod(column - 1, 26)
        name = chr(ord("A") + rest) + name
    return name


class _Book:
    """An archive that is being filled, and the styles that its cells have."""

    def __init__(self, archive: ZipFile) -> None:
        self.archive = archive
        self.offsets: dict[timedelta, int] = {}
        self.sheets: list[tuple[str, str]] = []
        """(name, what of it has a filter)."""
        self.bytes = 0

    def _style(self, offset: timedelta) -> int:
        return self.offsets.setdefault(offset, len(_FIXED_FORMATS) + len(self.offsets))

    # ------------------------------------------------------------------------------- cells
    def cell(self, place: str, value: Any, whole: int) -> str:
        """A value at a place; `whole` is the style of whole numbers there."""
        kind = type(value)
        if value is None or value == "":
            return ""
        if kind is int or kind is Decimal:
            if -EXACT <= value <= EXACT:
                style = whole if kind is int else _PLAIN
                said = value if kind is int else f"{value:f}"
                return f'<c r="{place}" s="{style}"><v>{said}</v></c>'
            return _text(place, str(value))
        if kind is datetime:
            day = value.toordinal() - DAY_NUMBER
            if day >= FIRST_DAY and (offset := value.utcoffset()) is not None:
                of_day = (value.hour * 60 + value.minute) * 60 + value.second
                part = (of_day + value.microsecond / 1e6) / 86_400
                return f'<c r="{place}" s="{self._style(offset)}"><v>{day + part!r}</v></c>'
            return _text(place, value.isoformat())
        if kind is date:
            day = value.toordinal() - DAY_NUMBER
            if day >= FIRST_DAY:
                return f'<c r="{place}" s="{_DAY}"><v>{day}</v></c>'
            return _text(place, value.isoformat())
        return _text(place, value)

    def rows(self, names: Sequence[str], rows: Iterable[Sequence[Any]]) -> Iterator[str]:
        """Each row as XML, below the names of the columns."""
        places = [letters(number) for number in range(len(names))]
        styles = [_PLAIN if NUMBERED.search(name) else _WHOLE for name in names]
        columns, cell = list(zip(places, styles, strict=True)), self.cell
        heads = [_text(f"{at}1", name, _BOLD) for at, name in zip(places, names, strict=True)]
        yield f'<row r="1">{"".join(heads)}</row>'
        for number, row in enumerate(rows, 2):
            if number > SHEET_ROWS:
                raise TooLarge("rows", SHEET_ROWS - 1)
            cells = [
                cell(f"{letter}{number}", value, style)
                for (letter, style), value in zip(columns, row, strict=True)
            ]
            yield f'<row r="{number}">{"".join(cells)}</row>'

    # ------------------------------------------------------------------------------ sheets
    def _write(self, part: IO[bytes], text: str) -> None:
        said = text.encode()
        self.bytes += len(said)
        if self.bytes > SHEET_BYTES:
            raise TooLarge("bytes of cells", SHEET_BYTES)
        part.write(said)

    def add(self, name: str, names: Sequence[str], rows: Iterable[Sequence[Any]]) -> None:
        """A sheet with these columns, whose names stay in sight and can be filtered by."""
        coming = iter(rows)
        measured = list(islice(coming, MEASURED_ROWS))
        widths = [_width(column) for column in zip(names, *measured, strict=True)]
        columns = "".join(
            f'<col min="{n}" max="{n}" width="{width}" customWidth="1"/>'
            for n, width in enumerate(widths, 1)
        )
        number = len(self.sheets) + 1
        with self.archive.open(f"xl/worksheets/sheet{number}.xml", "w") as part:
            self._write(
                part,
                f'{_HEAD}<worksheet xmlns="{_NS}/spreadsheetml/2006/main">'
                f'<sheetViews><sheetView tabSelected="{int(number == 1)}" workbookViewId="0">'
                '<pane ySplit="1" topLeftCell="A2" activePane="bottomLeft" state="frozen"/>'
                '<selection pane="bottomLeft"/></sheetView></sheetViews>'
                f"<cols>{columns}</cols><sheetData>",
            )
            last = 0
            made = self.rows(names, chain(measured, coming))
            while several := list(islice(made, 500)):
                self._write(part, "".join(several))
                last += len(several)
            end = letters(len(names) - 1)
            self._write(part, f'</sheetData><autoFilter ref="A1:{end}{last}"/></worksheet>')
        self.sheets.append((name, f"$A$1:${end}${last}"))

    def end(self) -> None:
        """What stands around the sheets."""
        numbers = range(1, len(self.sheets) + 1)
        around = {
            "[Content_Types].xml": f'<Types xmlns="{_NS}/package/2006/content-types">'
            '<Default Extension="rels"'
            ' ContentType="application/vnd.openxmlformats-package.relationships+xml"/>'
            f'<Override PartName="/xl/workbook.xml" ContentType="{_TYPES}.sheet.main+xml"/>'
            f'<Override PartName="/xl/styles.xml" ContentType="{_TYPES}.styles+xml"/>'
            + "".join(
                f'<Override PartName="/xl/worksheets/sheet{n}.xml"'
                f' ContentType="{_TYPES}.worksheet+xml"/>'
                for n in numbers
            )
            + "</Types>",
            "_rels/.rels": _relations([("officeDocument", "xl/workbook.xml")]),
            "xl/_rels/workbook.xml.rels": _relations(
                [("worksheet", f"worksheets/sheet{n}.xml") for n in numbers]
                + [("styles", "styles.xml")]
            ),
            "xl/workbook.xml": self._workbook(),
            "xl/styles.xml": self._styles(),
        }
        for name, text in around.items():
            self.archive.writestr(name, _HEAD + text)

    def _workbook(self) -> str:
        sheets = "".join(
            f'<sheet name={quoteattr(name)} sheetId="{n}" r:id="rId{n}"/>'
            for n, (name, _) in enumerate(self.sheets, 1)
        )
        filters = "".join(
            f'<definedName name="_xlnm._FilterDatabase" localSheetId="{n}" hidden="1">'
            f"'{name}'!{filtered}</definedName>"
            for n, (name, filtered) in enumerate(self.sheets)
        )
        return (
            f'<workbook xmlns="{_NS}/spreadsheetml/2006/main"'
            f' xmlns:r="{_NS}/officeDocument/2006/relationships">'
            f"<sheets>{sheets}</sheets><definedNames>{filters}</definedNames></workbook>"
        )

    def _styles(self) -> str:
        codes = [*_FIXED_FORMATS, *(f'yyyy-mm-dd hh:mm:ss"{_said(o)}"' for o in self.offsets)]
        formats = "".join(
            f'<numFmt numFmtId="{164 + n}" formatCode={_quoted(code)}/>'
            for n, code in enumerate(codes)
        )
        styles = "".join(
            f'<xf numFmtId="{164 + n}" fontId="{int(n == _BOLD)}" fillId="0" borderId="0" xfId="0"'
            ' applyNumberFormat="1" applyFont="1"/>'
            for n in range(len(codes))
        )
        font = '<sz val="11"/><name val="Calibri"/><family val="2"/>'
        return (
            f'<styleSheet xmlns="{_NS}/spreadsheetml/2006/main">'
            f'<numFmts count="{len(codes)}">{formats}</numFmts>'
            f'<fonts count="2"><font>{font}</font><font><b/>{font}</font></fonts>'
            '<fills count="2"><fill><patternFill patternType="none"/></fill>'
            '<fill><patternFill patternType="gray125"/></fill></fills>'
            '<borders count="1"><border/></borders>'
            '<cellStyleXfs count="1"><xf numFmtId="0" fontId="0" fillId="0" borderId="0"/>'
            f'</cellStyleXfs><cellXfs count="{len(codes)}">{styles}</cellXfs>'
            '<cellStyles count="1"><cellStyle name="Normal" xfId="0" builtinId="0"/></cellStyles>'
            "</styleSheet>"
        )


def _text(place: str, value: str, style: int = _PLAIN) -> str:
    return (
        f'<c r="{place}" s="{style}" t="inlineStr"><is><t xml:space="preserve">'
        f"{text_of(value)}</t></is></c>"
    )


def _quoted(text: str) -> str:
    return quoteattr(text, {'"': "&quot;"})


def _said(offset: timedelta) -> str:
    """An offset as ISO 8601 has it."""
    return datetime(2000, 1, 1, tzinfo=timezone(offset)).isoformat()[19:]


def _width(column: Sequence[Any]) -> int:
    """So many characters wide: Chinese ones take the room of two."""
    longest = max(map(_room, column))
    return min(max(NARROW, longest), WIDE) + 2


def _room(value: Any) -> int:
    if isinstance(value, datetime):
        return 25
    text = "" if value is None else str(value)
    return len(text) + len(text) // 3 * isinstance(value, int) + sum(c > "\u2e7f" for c in text)


def _relations(those: Iterable[tuple[str, str]]) -> str:
    kinds = f"{_NS}/officeDocument/2006/relationships"
    said = "".join(
        f'<Relationship Id="rId{n}" Type="{kinds}/{kind}" Target="{target}"/>'
        for n, (kind, target) in enumerate(those, 1)
    )
    return f'<Relationships xmlns="{_NS}/package/2006/relationships">{said}</Relationships>'


class _Lent:
    """A file that is taken back: an archive that failed writes its end once more when the garbage
    collector comes by, into a file that is closed by then, or another's."""

    def __init__(self, file: BinaryIO) -> None:
        self.file = file

    def __getattr__(self, name: str) -> Any:
        return getattr(self.file, name)


@contextmanager
def book(out: BinaryIO) -> Iterator[Callable[[str, Sequence[str], Iterable[Sequence[Any]]], None]]:
    """What adds a sheet (name, columns, rows) to a book that is written to a file.

    A cell is text, a whole number, a decimal, a day, an instant with its offset, or null.
    """
    lent = _Lent(out)
    archive = ZipFile(lent, "w", ZIP_DEFLATED, compresslevel=1)
    try:
        made = _Book(archive)
        yield made.add
        made.end()
        archive.close()
    finally:
        lent.file = BytesIO()
