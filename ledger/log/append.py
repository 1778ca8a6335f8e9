"""A batch as the one append takes it: live commands, imports and the library's recorder make these.

It goes as one value of the type `ledger.batch` (migrations/0002_functions.sql), whose fields are
arrays: a column of each table that it writes.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, NamedTuple, TypeVar

import psycopg
from psycopg.adapt import Dumper
from psycopg.pq import Format

from ledger.database import lanes_of
from ledger.log import arrays, snapshots
from ledger.log.arrays import BYTEAS, INSTANTS, INT2S, INT8S, TEXTS, WORDS, Kind
from ledger.log.working import Entry, WorkingSet

SNAPSHOTS_BYTES = 1 << 18
"""About so much of snapshots goes in a batch of an import, for its events are as long."""
CONFLICTS = ("CL001", "23505")
"""The SQLSTATEs of an append that came too late: nothing of it was written."""


class Read(NamedTuple):
    """A stream that a command of this lane read and no one changed, and its version then."""

    stream: str
    lane: int
    version: int


class Snapshot(NamedTuple):
    """The state of a stream in one of its lanes; `before` is the version that is there, or 0."""

    stream: str
    lane: int
    before: int
    after: int
    fold: str
    state: bytes


class PartState(NamedTuple):
    """The state of a part that lies beside the snapshot of its stream, in one of its lanes."""

    stream: str
    lane: int
    part: str
    fold: str
    state: bytes


class NewEvent(NamedTuple):
    """An event in its stored form; `offset` counts from 1 in its lane."""

    stream: str
    lane: int
    version: int
    offset: int
    topic: str
    state: bytes


class Answer(NamedTuple):
    """A command with its answer, under its key in the lane of its first stream. `offset` is that of
    its last event there, 0 if there is none; `asked` is empty for a file, which has lines."""

    key: str
    digest: bytes
    lane: int
    offset: int
    response: bytes
    asked: bytes
    undated: bool = False  # it named no time: it happens now


class Lines(NamedTuple):
    """Some lines of a file as they were asked."""

    key: str
    lane: int
    first: int
    size: int
    facts: int
    content: bytes


W = TypeVar("W", Snapshot, PartState)


@dataclass(frozen=True, slots=True)
class Encoded:
    """A batch as it is sent."""

    value: bytes


class _AsItIs(Dumper):
    """Sends it in binary, under whatever type the statement says."""

    format = Format.BINARY
    oid = 0

    def dump(self, obj: Encoded) -> bytes:
        return obj.value


psycopg.adapters.register_dumper(Encoded, _AsItIs)


@dataclass(slots=True)
class Batch:
    """What is appended together, all of it or nothing."""

    now: datetime | None  # null: the database's clock
    lanes: dict[int, int] = field(default_factory=dict)  # how many events each gets
    reads: Sequence[Read] = ()
    snapshots: Sequence[Snapshot] = ()
    parts: Sequence[PartState] = ()
    events: Sequence[NewEvent] = ()
    recorded: Sequence[bytes] = ()  # for a demo, of each event: instants in microseconds
    answers: Sequence[Answer] = ()
    lines: list[Lines] = field(default_factory=list)
    sealed: bytes | None = None  # what it tells of people: ledger/log/persons.py

    def encoded(self) -> Encoded:
        """It as a value of the type `ledger.batch`, whose fields these are, in their order."""
        now = None if self.now is None else arrays.microseconds(self.now)
        return Encoded(
            arrays.composite(
                [
                    (arrays.INSTANT, now),
                    *_columns((INT2S, INT8S), tuple(self.lanes.items())),
                    *_columns((TEXTS, INT2S, INT8S), self.reads),
                    *_columns((TEXTS, INT2S, INT8S, INT8S, WORDS, BYTEAS), self.snapshots),
                    *_columns((TEXTS, INT2S, WORDS, WORDS, BYTEAS), self.parts),
                    *_columns((TEXTS, INT2S, INT8S, INT8S, WORDS, BYTEAS), self.events),
                    (INSTANTS[0], arrays.instants(self.recorded)),
                    *_columns((TEXTS, BYTEAS, INT2S, INT8S, BYTEAS, BYTEAS, INT2S), self.answers),
                    *_columns((TEXTS, INT2S, INT8S, INT8S, INT8S, BYTEAS), self.lines),
                    (arrays.BYTEA, self.sealed),
                ]
            )
        )


def _columns(kinds: Sequence[Kind], rows: Sequence[Sequence[Any]]) -> Iterator[tuple[int, bytes]]:
    """Rows as fields, an array for each of their columns."""
    columns = zip(*rows, strict=True) if rows else ((),) * len(kinds)
    for (kind, written), column in zip(kinds, columns, strict=True):
        yield kind, written(column)


_row = tuple.__new__
"""A named tuple of its values, without a detour through Python: an import makes two a fact."""


def event_of(entry: Entry) -> NewEvent:
    """An entry in its stored form."""
    stream, event = entry.stream, entry.event
    where, state = stream.bucket, snapshots.bytes_of(event)
    return _row(NewEvent, (stream.name, where, entry.version, entry.offset, event.topic, state))


def snapshots_of(working: WorkingSet) -> Iterator[Snapshot]:
    """The snapshots to be written of what was changed: a row in each lane that has it. States are
    encoded now: who decides on changes them."""
    buckets = working.buckets
    for stream in working.changed():
        name = stream.name
        fold, state = snapshots.row(name, stream.state)
        for lane in lanes_of(name, buckets):
            yield _row(Snapshot, (name, lane, stream.stored, stream.version, fold, state))


def parts_of(working: WorkingSet) -> Iterator[PartState]:
    """The parts beside them that were changed, likewise."""
    for stream in working.changed():
        if not stream.changed:
            continue
        for part in snapshots.beside_the_row(snapshots.kind_of(stream.name)):
            if part in stream.changed:
                fold = snapshots.part_version(part)
                state = snapshots.encode_part(stream.state[part])
                for lane in lanes_of(stream.name, working.buckets):
                    yield PartState(stream.name, lane, part, fold, state)


def portions(written: Iterable[W]) -> Iterator[list[W]]:
    """States, about as many bytes of them at a time as go in a batch; at least one portion."""
    portion: list[W] = []
    held_bytes = 0
    for each in written:
        portion.append(each)
        held_bytes += len(each.state)
        if held_bytes > SNAPSHOTS_BYTES:
            yield portion
            portion, held_bytes = [], 0
    yield portion
