"""Commands as they were asked: kept beside their answers, without what identifies a person.

A live command stands in the row of its key. The lines of a file stand in pieces of some thousand,
compressed: a row and a key each would cost ten times as much. What was refused is not here: nothing
of it was written.
"""

import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from itertools import chain
from typing import Annotated, Any, Union

from psycopg import Connection, ServerCursor
from pydantic import ConfigDict, Field, TypeAdapter
from pydantic_core import to_json

from domain.catalogue import COMMANDS
from domain.kernel.command import FILE_KEYS, Command
from ledger.database import bucket_of, meta
from ledger.reading import COLUMNS, Stored

Conn = Connection[Any]

LEVEL = 3
"""Of zlib. 6 takes a ninth off the bytes of the lines and twice the time."""
FETCHED = 5_000
"""Commands with rows of their own that are in memory at once; of a file it is a piece."""

_ANY: Any = Union[tuple(COMMANDS.values())]  # noqa: UP007 - made from the one list
_COMMAND: TypeAdapter[Command] = TypeAdapter(
    Annotated[_ANY, Field(discriminator="command")],
    config=ConfigDict(hide_input_in_errors=True),
)
parse: Callable[[str | bytes], Command] = _COMMAND.validator.validate_json
"""A command from its JSON."""


def line_of(text: bytes, command: Command) -> bytes:
    """A line as it is kept: as it came, unless it may name a person, or its file says more."""
    return command.asked() if command.identifying or command.despite else text.strip()


def packed(lines: Mapping[int, bytes]) -> tuple[int, int, bytes]:
    """Lines of a file that were taken, by number, on their way into its record: (the first number,
    how many there are up to the last, the lines)."""
    first, size = min(lines), max(lines) - min(lines) + 1
    if size == len(lines):
        told = [lines[number] for number in range(first, first + size)]
    elif size <= 2 * len(lines):
        told = [lines.get(number, b"") for number in range(first, first + size)]
    else:  # of a file that was not in the order of time, each with its number
        told = [b"%d\t%b" % each for each in sorted(lines.items())]
    return first, size, zlib.compress(b"\n".join(told), LEVEL)


@dataclass(frozen=True, slots=True)
class Kept:
    """A command that was taken, as it was asked, in JSON. One of its own row has its lane; where it
    named no time, it was decided for `decided_at`."""

    key: str
    asked: bytes
    bucket: int | None = None
    decided_at: datetime | None = None

    @property
    def at(self) -> datetime:
        """The time for which it was decided."""
        at = self.command().at
        assert at is not None
        return at

    def command(self) -> Command:
        """It again, under its key and with the time for which it was decided."""
        command = parse(self.asked)
        # It was made just now and is nobody's, so it may still be given these in place.
        command.__dict__["key"] = self.key
        if command.at is None:
            command.__dict__["at"] = self.decided_at
        return command


@dataclass(frozen=True, slots=True)
class Answered:
    """A command with what its asker was told, if it has a key of its own, and what came of it."""

    kept: Kept
    response: bytes | None
    events: list[Stored] = field(default_factory=list)


def of_key(conn: Conn, key: str) -> list[Answered]:
    """What was asked under a key, and answered: one command, or with several lanes one in each."""
    return [Answered(*each, _events(conn, each[0])) for each in _kept(conn, key)]


def asked_under(conn: Conn, key: str) -> list[Command]:
    """The same without what came of it."""
    return [kept.command() for kept, _ in _kept(conn, key)]


def _kept(conn: Conn, key: str) -> list[tuple[Kept, bytes | None]]:
    if key.startswith(FILE_KEYS):
        return [(kept, None) for kept in _lines(conn, [key]).values()]
    rows = conn.execute(
        "SELECT asked, bucket, decided_at, response FROM ledger.command_log"
        " WHERE key = %s AND asked <> '' ORDER BY bucket",
        (key,),
    )
    return [(Kept(key, *row), response) for *row, response in rows]


@contextmanager
def everything(conn: Conn) -> Iterator[Iterator[list[Kept]]]:
    """All that was asked, in no order, some thousand at a time. Only within a transaction."""
    with (
        conn.cursor(name="own_rows") as own,
        conn.cursor(name="lines_of_files", binary=True) as files,
    ):
        own.execute(
            "SELECT key, asked, bucket, decided_at FROM ledger.command_log WHERE asked <> ''"
        )
        files.itersize = 1
        files.execute("SELECT key, first_line, content FROM ledger.file_lines")
        yield chain(_rows(own), map(_piece, files))


def _rows(cursor: ServerCursor[Any]) -> Iterator[list[Kept]]:
    while rows := cursor.fetchmany(FETCHED):
        yield [Kept(*row) for row in rows]


def _piece(row: tuple[str, int, bytes]) -> list[Kept]:
    """The lines of a piece that are not empty."""
    key, first, content = row
    lines = _unpacked(first, content).items()
    return [Kept(f"{key}:{line}", asked) for line, asked in lines if asked]


def _lines(conn: Conn, keys: Iterable[str]) -> dict[str, Kept]:
    """Lines of files by their keys; a piece is opened once."""
    wanted: dict[str, list[int]] = {}
    for key in keys:
        file, _, line = key.rpartition(":")
        if line.isdecimal() and len(line) < 19:
            wanted.setdefault(file, []).append(int(line))
    buckets = int(meta(conn)["buckets"]) if wanted else 1
    found: dict[str, Kept] = {}
    for file, numbers in wanted.items():
        pieces = conn.execute(
            "SELECT first_line, content FROM ledger.file_lines p WHERE key = %s AND bucket = %s"
            " AND EXISTS (SELECT FROM unnest(%s::bigint[]) n"
            " WHERE n >= p.first_line AND n < p.first_line + p.lines)",
            (file, bucket_of(file, buckets), numbers),
            binary=True,
        )
        for first, content in pieces:
            lines = _unpacked(first, content)
            for number in numbers:
                if lines.get(number):
                    kept = Kept(f"{file}:{number}", lines[number])
                    found[kept.key] = kept
    return found


def _unpacked(first: int, content: bytes) -> dict[int, bytes]:
    """The lines of a piece by their numbers; what was not taken is empty or not there."""
    lines = zlib.decompress(content).split(b"\n")
    if not lines[0][:1].isdigit():
        return dict(enumerate(lines, start=first))
    numbered = (line.partition(b"\t") for line in lines)
    return {int(number): asked for number, _, asked in numbered}


def _events(conn: Conn, kept: Kept) -> list[Stored]:
    """The events that a command made, by their key in the streams that it writes."""
    command = kept.command()
    rows = conn.execute(
        f"SELECT {COLUMNS} FROM ledger.stored_events"
        " WHERE originator_id = ANY (%s) AND position(%b::bytea IN state) > 0"
        " ORDER BY originator_id, originator_version".encode(),
        (command.streams()[: len(command.writes)], b'"key":' + to_json(kept.key)),
        binary=True,
    )
    return [Stored(*row) for row in rows]
