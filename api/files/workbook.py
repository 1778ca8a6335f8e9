"""A program that reads a workbook from its standard input and writes its rows as lines of JSON.

It runs apart, with little memory and time: a workbook of a few kilobytes may ask for a terabyte,
and the library that reads it ends its process then. Nothing of ours is imported here.

Before the rows of each sheet comes `{"sheet": name}`, then lists of rows from the first, each a
list of texts. Cells are written as a person would: numbers with at most 15 digits and 9 decimals,
days and instants as ISO 8601, what a formula came to. One in error says so.
"""

import datetime
import io
import re
import resource
import sys
import threading
import xml.etree.ElementTree as ElementTree
import zipfile
from collections.abc import Iterable, Iterator
from itertools import islice
from typing import Any

import msgspec
import python_calamine

MEMORY_BYTES = 2 << 30
TOGETHER = 4_096
"""About so many cells of a sheet are told in one line."""
KNOWN_NUMBERS = 100_000
"""So many numbers are remembered with what they show."""
SECONDS = 600
UNPACKED_BYTES = 2 << 30
BLOCK_BYTES = 1 << 20
ZIPPED = b"PK"
IN_ERROR = b't="e"'
ERROR = re.compile(rb'<c\b(?=[^>]* t="e")[^>]* r="([A-Z]+)([0-9]+)"[^>]*>(?:(?!</c>).)*?<v>([^<]*)')
PART = "{http://schemas.openxmlformats.org/officeDocument/2006/relationships}id"
MAIN = "{http://schemas.openxmlformats.org/spreadsheetml/2006/main}"
Errors = dict[tuple[int, int], str]


def main() -> int:
    """Read, and write; on a line of stderr why it cannot be read."""
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY_BYTES, MEMORY_BYTES))
    resource.setrlimit(resource.RLIMIT_CPU, (SECONDS, SECONDS))
    most_rows = int(sys.argv[1]) if len(sys.argv) > 1 else None
    raw = sys.stdin.buffer.read()
    try:
        book = python_calamine.load_workbook(io.BytesIO(raw))
        require_small(raw)
        beside = Beside(raw)
        for name in book.sheet_names:
            sheet = book.get_sheet_by_name(name)
            errors = beside.found().get(name, {})
            say({"sheet": name})
            rows = written(sheet.iter_rows(), sheet.start, errors, most_rows)
            sys.stdout.buffer.writelines(rows)
        sys.stdout.buffer.flush()
    except BrokenPipeError:
        return 0
    except Exception as error:  # noqa: BLE001 - of a stranger's file, whatever it is
        said = str(error).strip().splitlines() or [type(error).__name__]
        sys.stderr.write(f"says: {said[0][:200]}\n")
        return 1
    return 0


def require_small(raw: bytes) -> None:
    """Refuses what would be too large, before it is unpacked."""
    if not raw.startswith(ZIPPED):
        return
    with zipfile.ZipFile(io.BytesIO(raw)) as archive:
        unpacked = sum(each.file_size for each in archive.infolist())
    if unpacked > UNPACKED_BYTES:
        raise ValueError(f"unpacked it would be {unpacked:,} bytes: {UNPACKED_BYTES:,} at most")


class Beside(threading.Thread):
    """Errors, looked for while the first sheet is read."""

    def __init__(self, raw: bytes) -> None:
        super().__init__(daemon=True)
        self._raw, self._errors = raw, dict[str, Errors]()
        self._failed: Exception | None = None
        self.start()

    def run(self) -> None:
        """Look, and keep what is found."""
        try:
            self._errors = errors_of(self._raw)
        except Exception as failure:  # noqa: BLE001 - it is told by who asks
            self._failed = failure

    def found(self) -> dict[str, Errors]:
        """What was found; raises what failed."""
        self.join()
        if self._failed is not None:
            raise self._failed
        return self._errors


def say(what: object) -> None:
    """A line of the answer."""
    sys.stdout.buffer.write(msgspec.json.encode(what) + b"\n")


def written(
    rows: Iterable[list[Any]], start: tuple[int, int] | None, errors: Errors, most: int | None
) -> Iterator[bytes]:
    """The rows as lines. Columns before the first that holds something are not read."""
    before = [""] * (start[1] if start else 0)
    encode = msgspec.json.encode
    shown = Numbers()
    together: list[list[str]] = []
    for number, row in enumerate(islice(rows, most)):
        cells = before + [
            cell if type(cell) is str else shown[cell] if type(cell) is float else text(cell)
            for cell in row
        ]
        if errors:
            cells = [errors.get((number, place), cell) for place, cell in enumerate(cells)]
        together.append(cells)
        if len(together) * len(cells) >= TOGETHER:
            yield encode(together) + b"\n"
            together.clear()
    yield encode(together) + b"\n"


class Numbers(dict[float, str]):
    """What numbers show, each found out once."""

    def __missing__(self, cell: float) -> str:
        if len(self) >= KNOWN_NUMBERS:
            self.clear()
        near = round(cell, 9)  # 10.03 - 10 is no 0.0299999999999994 to anybody
        whole = near.is_integer() and abs(near) < 1e15
        shows = self[cell] = str(int(near)) if whole else f"{near:.15g}"
        return shows


def text(cell: Any) -> str:
    """What a cell shows that holds no number."""
    if type(cell) is bool:
        return "true" if cell else "false"
    if isinstance(cell, datetime.datetime):
        return cell.isoformat(" ")
    if isinstance(cell, datetime.date | datetime.time):
        return cell.isoformat()
    return str(cell)


def errors_of(raw: bytes) -> dict[str, Errors]:
    """Cells in error by sheet and place, as they show: the library reads them as empty."""
    if not raw.startswith(ZIPPED):
        return {}
    found: dict[str, Errors] = {}
    with zipfile.ZipFile(io.BytesIO(raw)) as archive:
        parts = {
            "worksheets/" + n.rpartition("/")[2]: n for n in archive.namelist() if "sheets/" in n
        }
        for part in parts.values():
            if part.endswith(".xml") and _holds_errors(archive, part):
                found[part] = {
                    (int(row) - 1, column(letters)): said.decode()
                    for letters, row, said in ERROR.findall(archive.read(part))
                }
        if not found:
            return {}
        return {name: found.get(part, {}) for name, part in sheets_of(archive).items()}


def _holds_errors(archive: zipfile.ZipFile, part: str) -> bool:
    """Whether any cell may be in error: in little memory, as hardly any sheet has one."""
    before = b""
    with archive.open(part) as content:
        while block := content.read(BLOCK_BYTES):
            if IN_ERROR in before + block:
                return True
            before = block[1 - len(IN_ERROR) :]
    return False


def sheets_of(archive: zipfile.ZipFile) -> dict[str, str]:
    """The file of each sheet."""
    links = ElementTree.fromstring(archive.read("xl/_rels/workbook.xml.rels"))
    targets = {link.get("Id"): link.get("Target", "") for link in links}
    book = ElementTree.fromstring(archive.read("xl/workbook.xml"))
    places = {s.get("name", ""): targets.get(s.get(PART), "") for s in book.iter(f"{MAIN}sheet")}
    return {
        name: (place or "").removeprefix("/") if (place or "").startswith("/") else f"xl/{place}"
        for name, place in places.items()
    }


def column(letters: bytes) -> int:
    """A is 0, Z is 25, AA is 26."""
    number = 0
    for letter in letters:
        number = number * 26 + letter - 64
    return number - 1


if __name__ == "__main__":
    sys.exit(main())
