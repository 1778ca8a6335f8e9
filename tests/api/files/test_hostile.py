"""Files that nobody should send: each is refused with its place, and in little time and memory."""

import gzip
import io
import zipfile
from contextlib import ExitStack

import pytest

from api.files import readers
from api.files.mapping import load
from api.files.merging import Merger
from api.files.readers import MOST_CELL, MOST_COLUMNS, Unreadable
from ledger.lines import ENDLESS_BYTES, LineWithoutEnd
from tests.api.files.tables import Taken, as_csv, as_xlsx, book, key_of

MAPPING = """
    [missing]
    actor = "system:x"
    [[table]]
    files = "*"
    [[table.fact]]
    kind = "points.credit"
    [table.fact.fields]
    member_id = "member"
    points = "points"
    source = { value = "x" }
    rule = { value = "x" }
    at = "day"
"""
HEADER = ["member", "points", "day"]
GOOD = ["m1", "5", "2025-01-01"]


def refused(content: bytes) -> Unreadable:
    with ExitStack() as stack, pytest.raises(Unreadable) as told:
        taken(content, stack)
    return told.value


def taken(content: bytes, stack: ExitStack) -> None:
    merger = Merger(load(MAPPING.encode()), stack, key_of)
    merger.take(stack.enter_context(readers.read("file.csv", io.BytesIO(content))))


HOSTILE = {
    "a quote that is never closed": (
        b'member,points,day\nm1,5,2025-01-01\nm2,"5,2025-01-01\nm3,5,2025-01-01\n', 3,
        "never closed",
    ),
    "the same with much behind it": (
        b'member,points,day\nm1,"5,2025-01-01\n' + b"m3,5,2025-01-01\n" * 10_000, 2, "never closed"
    ),
    "text after a closing quote": (b'member,points,day\n"m1"x,5,2025-01-01\n', 2, "no CSV"),
    "a huge cell": (
        b"member,points,day\nm1,%b,2025-01-01\n" % (b"5" * (MOST_CELL + 1)), 2, "longer than 65,536"
    ),
    "NUL bytes": (b"member,points,day\nm1,5,2025-01-01\nm\0,5,2025-01-01\n", 3, "NUL"),
    "neither UTF-8 nor GB18030": (
        b"member,points,day\nm\xff\xff,5,2025-01-01\n", 2,
        "no UTF-8 (line 2) and no GB18030 (line 2)",
    ),
    "a table that was compressed": (
        gzip.compress(b"member,points,day\n"), None, "compressed by gzip: unpack it first"
    ),
    "half of a character": ("member,points,day\n客".encode()[:-2], 2, "no UTF-8"),
    "UTF-16 that breaks off": (
        "member,points,day\nm1,5,2025-01-01\n".encode("utf-16")[:-1] + b"\xd8", None, "UTF-16"
    ),
    "10,000 columns": (as_csv([[f"c{n}" for n in range(10_000)]]), 1, f"{MOST_COLUMNS:,} at most"),
    "a column that is not there": (as_csv([["member", "punkte", "day"]]), 1, "no column points"),
    "a header that stands twice": (
        as_csv([["member", "points", "points", "day"], ["m1", "5", "6", "2025-01-01"]]), 1,
        "twice: it is points#1 or points#2",
    ),
    "no workbook": (b"PK\x03\x04" + b"x" * 100, None, "cannot be read as a workbook"),
}  # fmt: skip


@pytest.mark.parametrize(("content", "line", "why"), HOSTILE.values(), ids=HOSTILE.keys())
def test_it_is_refused_with_its_place(content: bytes, line: int | None, why: str) -> None:
    told = refused(content)
    assert why in told.detail
    assert told.more["reason"] == "unreadable_file"
    if line is not None:
        assert told.more["line"] == line


def test_a_line_without_end_is_refused_before_it_is_read_whole() -> None:
    with ExitStack() as stack, pytest.raises(LineWithoutEnd):
        taken(b"member,points," + b"x" * (ENDLESS_BYTES + 1), stack)


def packed(**parts: bytes) -> bytes:
    """An archive of such parts."""
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in parts.items():
            archive.writestr(name, content)
    return made.getvalue()


def with_part(content: bytes, name: str, part: bytes) -> bytes:
    """A workbook with another part in place of one."""
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        parts = {each: archive.read(each) for each in archive.namelist()}
    return packed(**(parts | {name: part}))


CELL = b'<c r="%b" t="inlineStr"><is><t>member</t></is></c>'
SHEET = (
    b'<?xml version="1.0"?><worksheet xmlns="http://schemas.openxmlformats.org/spreadsheetml/2006/'
    b'main"><sheetData>%b</sheetData></worksheet>'
)


def test_a_workbook_that_would_be_a_terabyte_is_refused() -> None:
    """Two cells in opposite corners: the library makes room for all between them."""
    far = b'<row r="1">%b</row><row r="1048576">%b</row>' % (CELL % b"A1", CELL % b"XFD1048576")
    told = refused(with_part(as_xlsx([HEADER]), "xl/worksheets/sheet1.xml", SHEET % far))
    assert "GiB of memory" in told.detail


def test_a_bomb_is_refused() -> None:
    """A gigabyte of one string in a megabyte of file."""
    strings = b'<sst xmlns="http://schemas.openxmlformats.org/spreadsheetml/2006/main"><si><t>'
    bomb = strings + b"x" * (1 << 30) + b"</t></si></sst>"
    told = refused(with_part(as_xlsx([HEADER]), "xl/sharedStrings.xml", bomb))
    assert "memory" in told.detail or "cannot be read" in told.detail


def test_errors_of_formulas_are_told_and_what_they_came_to_is_taken() -> None:
    made = book({"one": [HEADER, GOOD, ["m2", "", "2025-01-01"], ["m3", "", "2025-01-01"]]})
    with zipfile.ZipFile(io.BytesIO(made)) as archive:
        sheet = archive.read("xl/worksheets/sheet1.xml")
    sheet = sheet.replace(
        b'<c r="C3"', b'<c r="B3" t="e"><f>1/0</f><v>#DIV/0!</v></c><c r="C3"'
    ).replace(b'<c r="C4"', b'<c r="B4"><f>2*21</f><v>42</v></c><c r="C4"')
    found = Taken(MAPPING, a__xlsx=with_part(made, "xl/worksheets/sheet1.xml", sheet))
    assert [b'"points":5' in found.asked[0], b'"points":42' in found.asked[1]] == [True, True]
    assert [(line, code) for _, line, code, _ in found.unread] == [(3, "misspelt")]


def test_formulas_in_csv_are_text() -> None:
    found = Taken(MAPPING, a__csv=as_csv([HEADER, ["=1+1", "=2+3", "2025-01-01"]]))
    assert [(line, code) for _, line, code, _ in found.unread] == [(2, "misspelt")]


def test_rows_that_do_not_fit_are_named_one_by_one_and_repeat_nothing() -> None:
    secret = "13812345678"
    rows = [
        HEADER,
        GOOD,
        ["m2", secret, "1850-01-01"],
        ["m3", "x" + secret, "2025-01-01"],
        ["m4", "", "2025-01-01"],
        ["m5", "5", "3/4/2025"],
        ["m6", "5", "2025-01-01", "more"],
        ["m7", "5"],
        ["", "", ""],
    ]
    found = Taken(MAPPING, a__csv=as_csv(rows))
    assert [(line, code) for _, line, code, _ in found.unread] == [
        (4, "misspelt"),
        (5, "empty_cell"),
        (6, "misspelt"),
        (7, "too_many_cells"),
        (8, "empty_cell"),
    ]
    assert secret not in str(found.unread)
    at_1850 = [text for _, line, text in found.lines if line == 3]  # the ledger refuses the year
    assert len(at_1850) == 1


def test_a_row_over_several_lines_has_the_number_of_its_first() -> None:
    rows = [HEADER, GOOD, ["m2\nm3", "x", "2025-01-01"], ["m4", "y", "2025-01-01"]]
    found = Taken(MAPPING, a__csv=as_csv(rows, end="\n"))
    assert [line for _, line, _, _ in found.unread] == [3, 5]
