"""Exported files, read back by other means than those that wrote them."""

import csv
import io
import json
import re
import zipfile
from datetime import UTC, date, datetime, timedelta
from typing import Any
from xml.etree import ElementTree

NS = {"m": "http://schemas.openxmlformats.org/spreadsheetml/2006/main"}


def read_csv(content: bytes) -> list[list[str]]:
    """Rows, the names of the columns first, below the comments."""
    return _parted(content)[1]


def read_comments(content: bytes) -> dict[str, str]:
    """What a CSV file says of itself."""
    return _parted(content)[0]


def _parted(content: bytes) -> tuple[dict[str, str], list[list[str]]]:
    assert content.startswith(b"\xef\xbb\xbf"), "no mark of UTF-8"
    assert content.endswith(b"\r\n")
    text = content.decode("utf-8-sig")
    comments = re.match(r"(# [^\r\n]*\r\n)*", text)
    assert comments is not None
    said = dict(line[2:].split(": ", 1) for line in comments[0].split("\r\n")[:-1])
    rows = csv.reader(io.StringIO(text[comments.end() :], newline=""), strict=True)
    return said, list(rows)


def read_jsonl(content: bytes) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """(what it is of, rows)."""
    about, *rows = [json.loads(line) for line in content.decode().splitlines()]
    return about, rows


def read_xlsx(content: bytes) -> dict[str, list[list[Any]]]:
    """The rows of each sheet: text as text, numbers as floats, days and instants as ISO 8601 has
    them. A formula anywhere is an error."""
    with zipfile.ZipFile(io.BytesIO(content)) as book:
        names = [
            sheet.attrib["name"]
            for sheet in ElementTree.fromstring(book.read("xl/workbook.xml")).iterfind(
                "m:sheets/m:sheet", NS
            )
        ]
        styles = ElementTree.fromstring(book.read("xl/styles.xml"))
        codes = {
            each.attrib["numFmtId"]: each.attrib["formatCode"]
            for each in styles.iterfind("m:numFmts/m:numFmt", NS)
        }
        shown = [
            codes.get(each.attrib["numFmtId"], "General")
            for each in styles.iterfind("m:cellXfs/m:xf", NS)
        ]
        sheets = {}
        for number, name in enumerate(names, 1):
            root = ElementTree.fromstring(book.read(f"xl/worksheets/sheet{number}.xml"))
            assert root.find(".//m:f", NS) is None
            assert root.find(".//m:hyperlink", NS) is None
            sheets[name] = [_cells(row, shown) for row in root.iterfind("m:sheetData/m:row", NS)]
        return sheets


def _cells(row: ElementTree.Element, shown: list[str]) -> list[Any]:
    found: dict[int, Any] = {}
    for each in row.iterfind("m:c", NS):
        letters = each.attrib["r"].rstrip("0123456789")
        place = 0
        for letter in letters:
            place = place * 26 + ord(letter) - ord("A") + 1
        if each.attrib.get("t") == "inlineStr":
            found[place] = "".join(text.text or "" for text in each.iterfind(".//m:t", NS))
        else:
            number = float(each.findtext("m:v", None, NS) or "nan")
            found[place] = _meant(number, shown[int(each.attrib.get("s", "0"))])
    return [found.get(place) for place in range(1, max(found, default=0) + 1)]


def _meant(number: float, code: str) -> float | str:
    """What a spreadsheet shows for a number by its format."""
    if not code.startswith("yyyy"):
        return number
    if code == "yyyy-mm-dd":
        return (date(1899, 12, 30) + timedelta(days=number)).isoformat()
    at = datetime(1899, 12, 30, tzinfo=UTC) + timedelta(days=number)
    offset = code.split('"')[1]
    return f"{at + timedelta(microseconds=5):%Y-%m-%dT%H:%M:%S}{offset}"
