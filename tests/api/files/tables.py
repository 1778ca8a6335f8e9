"""Tables as people write them, made for a test; and what comes of them."""

import csv
import io
from collections.abc import Sequence
from contextlib import ExitStack
from hashlib import sha256
from typing import Any

import xlsxwriter  # type: ignore[import-untyped]

from api.files import readers
from api.files.mapping import load
from api.files.merging import Merger
from domain.kernel.command import Command
from ledger.commands import parse
from ledger.lines import Unread

Rows = Sequence[Sequence[Any]]


def as_csv(rows: Rows, separator: str = ",", encoding: str = "utf-8", end: str = "\r\n") -> bytes:
    """The rows as CSV."""
    text = io.StringIO()
    csv.writer(text, delimiter=separator, lineterminator=end).writerows(rows)
    return text.getvalue().encode(encoding)


def as_xlsx(rows: Rows, sheet: str = "Sheet1", formats: Sequence[str | None] = ()) -> bytes:
    """The rows as a workbook of one sheet; columns may have a format of numbers and days."""
    return book({sheet: rows}, formats)


def book(sheets: dict[str, Rows], formats: Sequence[str | None] = ()) -> bytes:
    """A workbook of several sheets."""
    made = io.BytesIO()
    workbook = xlsxwriter.Workbook(made, {"in_memory": True, "strings_to_formulas": False})
    known = [each and workbook.add_format({"num_format": each}) for each in formats]
    for name, rows in sheets.items():
        sheet = workbook.add_worksheet(name)
        for number, row in enumerate(rows):
            for place, cell in enumerate(row):
                sheet.write(number, place, cell, known[place] if place < len(known) else None)
    workbook.close()
    return made.getvalue()


def key_of(known: str) -> str:
    """What a ledger knows it by, but for its key."""
    return sha256(known.encode()).hexdigest()[:32]


class Taken:
    """What files give under a mapping: facts and unread lines in their order."""

    def __init__(self, mapping: str, **files: bytes) -> None:
        with ExitStack() as stack:
            merger = Merger(load(mapping.encode()), stack, key_of)
            for name, content in files.items():
                source = io.BytesIO(content)
                merger.take(stack.enter_context(readers.read(name.replace("__", "."), source)))
            self.places = merger.places
            self.lines = [line for chunk in merger.source().chunks() for line in chunk]

    @property
    def commands(self) -> list[Command]:
        """Its facts."""
        return [parse(text) for _, _, text in self.lines if isinstance(text, bytes)]

    @property
    def asked(self) -> list[bytes]:
        """Its facts as they are asked: what says the same is the same."""
        return [command.asked() for command in self.commands]

    @property
    def unread(self) -> list[tuple[str, int, str, str]]:
        """(file, line, code, reason) of each line that gives none."""
        return [
            (self.places[place].file.name, line, text.code, text.reason)
            for place, line, text in self.lines
            if isinstance(text, Unread)
        ]
