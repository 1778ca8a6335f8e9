"""The facts of several files in the order of time, in little memory.

What the files give is written into sorted runs, which are merged as they are read: by the instant,
then by the turn of the kind, then as the files and their lines stand.
"""

import heapq
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack, closing
from dataclasses import dataclass, field
from datetime import datetime
from itertools import repeat
from typing import BinaryIO

import msgspec

from api.files.cells import micros_of
from api.files.making import ONLY, Made, NoColumn, Table, compiled
from api.files.mapping import Mapping, TableSaid
from api.files.readers import File, Unreadable, blocks, lines_of, require_narrow
from api.files.turns import turn_of
from ledger.lines import MAX_LINE_BYTES, Line, Source, Unread, chunks
from ledger.scratch import scratch

RUN_BYTES = 64 << 20
"""So much of the facts is sorted in memory at once."""
MOST_PLACES = 0xFFFF
_FIRST = 1 << 62  # so that an instant before 1970 is no negative number
_PLACE, _LINE, _MARK, _TEXT = slice(18, 22), slice(22, 32), slice(32, 33), slice(33, -1)
_FACT, _UNREAD = b"=", b"!"


@dataclass
class Place:
    """What one file, or one kind of fact of one table, gives: to the ledger it is a file of its
    own, whose lines are the rows."""

    file: File
    key: str
    sheet: str | None = None
    fact: str | None = None
    kind: str | None = None
    columns: dict[str, str] = field(default_factory=dict)

    @property
    def called(self) -> str:
        """For a reader."""
        return self.file.name if not self.sheet else f"{self.file.name} [{self.sheet}]"


class Merger:
    """Takes files in, and gives their facts in the order of time."""

    def __init__(self, mapping: Mapping, stack: ExitStack, key_of: Callable[[str], str]) -> None:
        """`key_of` what says which file, and what of it: by what the ledger knows that."""
        self.places: list[Place] = []
        self.facts = 0
        self.skipped: list[str] = []  # tables that the mapping says nothing of
        self._mapping = mapping
        self._stack = stack
        self._key_of = key_of
        self._run: list[bytes] = []
        self._run_bytes = 0
        self._runs: list[BinaryIO] = []

    def take(self, file: File) -> None:
        """Read a file to its end."""
        if file.kind == "jsonl":
            self._take_facts(file)
            return
        name, sheet_of_rejects = file.called
        reader: _Rows | None = None
        current: str | None = ""
        empty = True
        if file.kind == "csv" and sheet_of_rejects is None:
            said = self._mapping.of(name, None)
            file.separator = (said and said.separator) or file.separator
        with closing(blocks(file)) as found:
            for sheet, numbers, rows in found:
                empty = False
                if sheet != current:
                    current, sheet_said = sheet, sheet_of_rejects if sheet is None else sheet
                    said = self._mapping.of(name, sheet_said)
                    reader = None
                    if said is None:
                        self.skipped.append(file.name if not sheet else f"{file.name} [{sheet}]")
                    else:
                        reader = _Rows(self, file, sheet_said, said)
                if reader is not None:
                    reader.take(numbers, rows)
        if empty:
            raise Unreadable(file.name, "it holds no rows")

    def _place(self, place: Place) -> int:
        if len(self.places) == MOST_PLACES:
            raise Unreadable(place.file.name, f"there are more than {MOST_PLACES:,} tables")
        self.places.append(place)
        return len(self.places) - 1

    def _take_facts(self, file: File) -> None:
        place = self._place(Place(file, self._key_of(file.digest)))
        for number, raw in lines_of(file):
            text = raw.rstrip(b"\r\n")
            if text.isspace() or not text:
                continue
            if len(text) > MAX_LINE_BYTES:
                text = text[: MAX_LINE_BYTES + 1]  # it is too long in any case
            micros, turn = _order_of(text)
            self.put(micros, turn, place, number, text)

    def put(self, micros: int, turn: int, place: int, line: int, text: bytes | Unread) -> None:
        """A fact, or why there is none."""
        told = _UNREAD + msgspec.json.encode(text) if isinstance(text, Unread) else _FACT + text
        self._keep([_head(micros, turn, place) + b"%010x%b\n" % (line, told)])

    def put_all(self, turn: int, place: int, made: Made) -> None:
        """Facts of one kind."""
        lines, instants, texts = made
        # Many share an instant.
        heads = {micros: _head(micros, turn, place) for micros in set(instants)}
        numbers = map((b"%010x" + _FACT).__mod__, lines)
        pieces = zip(map(heads.__getitem__, instants), numbers, texts, repeat(b"\n"), strict=False)
        self._keep([*map(b"".join, pieces)])

    def _keep(self, records: Sequence[bytes]) -> None:
        self.facts += len(records)
        self._run += records
        self._run_bytes += sum(map(len, records))
        if self._run_bytes >= RUN_BYTES:
            self._end_run()

    def _end_run(self) -> None:
        self._run.sort()
        run = self._stack.enter_context(scratch())
        run.writelines(self._run)
        run.flush()
        self._runs.append(run)
        self._run, self._run_bytes = [], 0

    def source(self) -> Source:
        """All facts of all files."""
        if self._run:
            self._end_run()
        return Source([place.key for place in self.places], lambda: chunks(self._lines()))

    def _lines(self) -> Iterator[Line]:
        for run in self._runs:
            run.seek(0)
        runs: list[Iterable[bytes]] = [*self._runs]
        for record in runs[0] if len(runs) == 1 else heapq.merge(*runs):
            text = record[_TEXT]
            told = text if record[_MARK] == _FACT else _unread(text)
            yield int(record[_PLACE], 16), int(record[_LINE], 16), told


def _head(micros: int, turn: int, place: int) -> bytes:
    """How records begin, so that they sort."""
    return b"%016x%02x%04x" % (micros + _FIRST, turn, place)


_unread = msgspec.json.Decoder(Unread).decode


class _Rows:
    """The rows of one table."""

    def __init__(self, merger: Merger, file: File, sheet: str | None, said: TableSaid) -> None:
        self._merger, self._file, self._sheet, self._said = merger, file, sheet, said
        self._table: Table | None = None
        self._first = 0

    def take(self, numbers: Sequence[int], rows: Sequence[list[str]]) -> None:
        """Rows with these numbers; that of the header comes before those of facts."""
        made = None
        if self._table is not None and self._said.header:
            made = self._table.facts(numbers, rows)
        if made is None:
            for number, row in zip(numbers, rows, strict=True):
                self._take(number, row)
            return
        for kind, facts in enumerate(made):
            self._merger.put_all(self._turns[kind], self._first + kind, facts)

    def _take(self, number: int, row: list[str]) -> None:
        require_narrow(self._file.name, number, row)
        if self._table is None:
            if number < self._said.header:
                return
            self._begin(row if self._said.header else _letters(row), number)
            if self._said.header:
                return
        if not any(row) or not "".join(row).strip():
            return
        assert self._table is not None
        only: list[str] | None = None
        if not self._said.header and row[-1].startswith(ONLY):  # of rejects without a header
            only = row.pop().removeprefix(ONLY).split()
        for kind, micros, text in self._table.facts_of(row, only):
            self._merger.put(micros, self._turns[kind], self._first + kind, number, text)

    def _begin(self, header: list[str], number: int) -> None:
        try:
            self._table = table = compiled(self._merger._mapping, self._said, header)
        except NoColumn as error:
            raise Unreadable(self._file.name, f"{error} in its header", number) from None
        self._turns = [turn_of(maker.kind) for maker in table.makers]
        for place, maker in enumerate(table.makers):
            known = f"{self._file.digest}\0{self._sheet or ''}\0{maker.name}"
            key = self._merger._key_of(known)
            sheet = self._sheet
            made = Place(self._file, key, sheet, maker.name, maker.kind, maker.columns)
            where = self._merger._place(made)
            if place == 0:
                self._first = where


def _letters(row: list[str]) -> list[str]:
    """The header of a table without one: nothing above each cell."""
    return [""] * (len(row) - row[-1].startswith(ONLY)) if row else []


class _Told(msgspec.Struct):
    command: str = ""
    at: str = ""


_told = msgspec.json.Decoder(_Told).decode


def _order_of(text: bytes) -> tuple[int, int]:
    """(the instant of a line of facts, the turn of its kind); one that cannot be read is first."""
    try:
        told = _told(text)
        return micros_of(datetime.fromisoformat(told.at)), turn_of(told.command)
    except (ValueError, TypeError):
        return -_FIRST, 0
