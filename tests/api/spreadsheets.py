"""Exported files, read back by other means than those that wrote them."""

import csv
import io
import json
import zipfile
from typing import Any
from xml.etree import ElementTree

NS = {"m": "http://schemas.openxmlformats.org/spreadsheetml/2006/main"}


def read_csv(content: bytes) -> list[list[str]]:
    """Rows, the names of the columns first."""
    assert content.startswith(b"\xef\xbb\xbf"), "no mark of UTF-8"
    assert content.endswith(b"\r\n")
    return list(csv.reader(io.StringIO(content.decode("utf-8-sig"), newline=""), strict=True))


def read_jsonl(content: bytes) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """(what it is of, rows)."""
    about, *rows = [json.loads(line) for line in content.decode().splitlines()]
    return about, rows


def read_xlsx(content: bytes) -> dict[str, list[list[Any]]]:
    """The rows of each sheet: text as text, numbers as floats. A formula anywhere is an error."""
    with zipfile.ZipFile(io.BytesIO(content)) as book:
        names = [
            sheet.attrib["name"]
            for sheet in ElementTree.fromstring(book.read("xl/workbook.xml")).iterfind(
                "m:sheets/m:sheet", NS
            )
        ]
        sheets = {}
        for number, name in enumerate(names, 1):
            root = ElementTree.fromstring(book.read(f"xl/worksheets/sheet{number}.xml"))
            assert root.find(".//m:f", NS) is None
            assert root.find(".//m:hyperlink", NS) is None
            sheets[name] = [_cells(row) for row in root.iterfind("m:sheetData/m:row", NS)]
        return sheets


def _cells(row: ElementTree.Element) -> list[Any]:
    found: dict[int, Any] = {}
    for each in row.iterfind("m:c", NS):
        letters = each.attrib["r"].rstrip("0123456789")
        place = 0
        for letter in letters:
            place = place * 26 + ord(letter) - ord("A") + 1
        if each.attrib.get("t") == "inlineStr":
            found[place] = "".join(text.text or "" for text in each.iterfind(".//m:t", NS))
        else:
            found[place] = float(each.findtext("m:v", None, NS) or "nan")
    return [found.get(place) for place in range(1, max(found, default=0) + 1)]
