"""Rejected lines of files as people have them: told by file, column and what would mend them, and
given back as files of the same kind, which the same mapping takes in once they are mended."""

import csv
import io
import os
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any, BinaryIO, Protocol

from api.files.making import ONLY, columns_of
from api.files.mapping import Mapping
from api.files.mending import mend_of
from api.files.merging import Place
from api.files.readers import File, lines_of, sheet_rows
from ledger.rejects import Rejection, Rejects

PRIVATE = 0o600


class Told(Rejects):
    """Rejects whose reasons name the file, the column and what would mend the line."""

    def __init__(
        self,
        places: Sequence[Place],
        lines: BinaryIO | None = None,
        reasons: BinaryIO | None = None,
    ) -> None:
        super().__init__(lines, reasons)
        self._places = places

    def told(self, rejection: Rejection) -> dict[str, Any]:
        """A rejection as who brought the files knows its place."""
        place = self._places[rejection.file]
        known: dict[str, Any] = {"file": place.file.name}
        if place.sheet:
            known["sheet"] = place.sheet
        told = rejection.told() | known
        if rejection.field in place.columns:
            told["column"] = place.columns[rejection.field]
        if place.kind:
            told.setdefault("command", place.kind)
        return told | {"mend": mend_of(rejection.code)}


class Shelf(Protocol):
    """Where files of rejects are put, for good once each is written."""

    def clear(self) -> None:
        """Put away what lies there."""

    def put(self, name: str) -> AbstractContextManager[BinaryIO]:
        """A file to write."""


class Directory:
    """A directory as a shelf."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def clear(self) -> None:
        """Make it, or empty it."""
        self._path.mkdir(mode=0o700, exist_ok=True)
        for each in self._path.iterdir():
            each.unlink()

    @contextmanager
    def put(self, name: str) -> Iterator[BinaryIO]:
        """A file for us alone."""
        path = self._path / name
        with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT, PRIVATE), "wb") as out:
            yield out
            out.flush()
            os.fsync(out.fileno())


class TableRejects(Told):
    """Rejects that are given back as files on a shelf, each named after the one it came from: the
    rows of a table under its header, with a column that says which of their facts to tell."""

    def __init__(
        self, places: Sequence[Place], mapping: Mapping, shelf: Shelf, reasons: BinaryIO
    ) -> None:
        super().__init__(places, None, reasons)
        self.keeps_good = True
        self._mapping, self._shelf = mapping, shelf
        self._rejected: dict[tuple[str, str | None], dict[int, list[str]]] = {}

    def begin(self) -> None:
        super().begin()
        self._rejected.clear()

    def add(self, rejection: Rejection, text: bytes) -> bool:
        first = super().add(rejection, text)
        place = self._places[rejection.file]
        rows = self._rejected.setdefault((place.file.name, place.sheet), {})
        whole_row = rejection.code == "too_many_cells"
        rows.setdefault(rejection.line, []).append("" if whole_row else place.fact or "")
        return first

    def seal(self) -> None:
        """Write the files, and make all durable."""
        self._shelf.clear()
        files = {place.file.name: place.file for place in self._places}
        for (name, sheet), rows in self._rejected.items():
            file = files[name]
            with self._shelf.put(_name(file, sheet)) as out:
                if file.kind == "jsonl":
                    out.writelines(text for line, text in lines_of(file) if line in rows)
                else:
                    text = io.TextIOWrapper(out, "utf-8-sig", newline="", write_through=True)
                    writer = csv.writer(text, delimiter=file.separator or ",")
                    writer.writerows(self._rows(file, sheet, rows))
                    text.detach()
        super().seal()

    def _rows(
        self, file: File, sheet: str | None, rejected: dict[int, list[str]]
    ) -> Iterator[list[str]]:
        name, _ = file.called
        said = self._mapping.of(name, sheet)
        assert said is not None
        only: int | None = None
        for found, (number, row) in sheet_rows(file):
            if file.kind == "workbook" and found != sheet:
                continue
            if number < said.header:
                yield row
            elif number == said.header:
                only = columns_of(row).get(ONLY)
                yield row if only is not None else [*row, ONLY]
            elif number in rejected:
                facts = " ".join(rejected[number])
                if not said.header:
                    yield [*row, f"{ONLY} {facts}"]
                elif only is None:
                    yield [*row, facts]
                else:
                    yield [*row[:only], facts, *row[only + 1 :]]


def _name(file: File, sheet: str | None) -> str:
    name = Path(file.name).name
    return f"{name}#{sheet}.csv" if file.kind == "workbook" else name
