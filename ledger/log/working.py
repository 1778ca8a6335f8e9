"""A working set: states of streams in memory, on which commands are decided one after the other.

Each decision sees what those before it changed. Live batches and imports use the same one.
"""

from collections.abc import Iterable, Mapping, Set
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any, NamedTuple

from domain.catalogue import PARTS
from domain.kernel.command import NO_KEY, RESERVED_KEYS, Command
from domain.kernel.event import Event
from domain.kernel.parts import State
from domain.kernel.refusal import Refusal, require_excusable
from domain.kernel.world import carry_out
from ledger.database import bucket_of, lanes_of
from ledger.log import snapshots


@dataclass
class KeyReused(Refusal):
    """This idempotency key was used for another command."""

    code = "key_reused"


@dataclass
class KeyMissing(Refusal):
    """A write needs an idempotency key."""

    code = "key_missing"


@dataclass
class KeyReserved(Refusal):
    """Idempotency keys that begin so are the ledger's own."""

    code = "key_reserved"
    begins: str


@dataclass
class OnlyHistories(Refusal):
    """Only what tells a history may break a rule (`despite`): an import, or `do`."""

    code = "only_histories"


@dataclass
class DatedInFuture(Refusal):
    """It is dated after the ledger's clock."""

    code = "dated_in_future"
    at: datetime
    now: datetime


@dataclass
class ChangedSince(Refusal):
    """Since it was read it has been changed: read it again, and decide on what it is now."""

    code = "changed_since"
    seen_version: int
    stream_version: int


class MovedOn(Exception):
    """Somebody else has written to this stream since it was read: decide again."""


class Stored(NamedTuple):
    """What is stored of a stream: its snapshot, or a part beside it with the version of its
    snapshot. What folded it, and the state; of a part without a row neither."""

    version: int
    fold: str
    state: bytes


@dataclass(slots=True)
class Missing:
    """What has to be read: snapshots by stream, parts by (stream, part), each with the lane to read
    it in."""

    snapshots: dict[str, int] = field(default_factory=dict)
    parts: dict[tuple[str, str], int] = field(default_factory=dict)

    def of(self, stored: dict[int, Stored]) -> dict[str, tuple[Stored | None, dict[str, Stored]]]:
        """By stream (snapshot, parts), from what was found by its place: snapshots first."""
        found: dict[str, tuple[Stored | None, dict[str, Stored]]] = {
            name: (stored.get(place), {}) for place, name in enumerate(self.snapshots)
        }
        for place, (name, part) in enumerate(self.parts, start=len(self.snapshots)):
            if place in stored:
                found.setdefault(name, (None, {}))[1][part] = stored[place]
        return found


@dataclass(slots=True)
class Stream:
    """One stream: its lane, the version that is stored, the version and state in memory."""

    name: str
    bucket: int
    stored: int
    version: int
    state: State  # its parts, as far as they were asked for
    changed: Set[str] = frozenset()  # parts beside the row that are not as they are stored


@dataclass(slots=True)
class Entry:
    """An event on its way into the log; `offset` counts from 1 in its lane."""

    stream: Stream
    version: int
    offset: int
    event: Event


@dataclass(slots=True)
class WorkingSet:
    """Streams by name, and how many events each lane got."""

    buckets: int
    streams: dict[str, Stream] = field(default_factory=dict)
    lanes: dict[int, int] = field(default_factory=dict)
    written: dict[str, Stream] = field(default_factory=dict)  # by events that are not stored yet

    def missing(self, askers: Iterable[tuple[Command, list[str]]]) -> Missing:
        """What some commands need and is not here yet. Askers are commands with the names of their
        streams."""
        found = Missing()
        streams = self.streams
        for command, names in askers:
            for name in names:
                if name not in streams and name not in found.snapshots:
                    found.snapshots[name] = self._lane(name, names[0])
            for number, part in snapshots.taken_beside(type(command)):
                name = names[number]
                if name not in streams or part not in streams[name].state:
                    found.parts[name, part] = self._lane(name, names[0])
        return found

    def _lane(self, name: str, asker: str) -> int:
        """A lane that has a stream's snapshot: its own, or of reference data that of who asks."""
        lanes, home = lanes_of(name, self.buckets), bucket_of(asker, self.buckets)
        return home if home in lanes else lanes[0]

    def put(self, name: str, version: int, state: State) -> None:
        """Take a stream in as it is stored."""
        self.streams[name] = self._stream(name, version, state)

    def _stream(self, name: str, version: int, state: State) -> Stream:
        return Stream(name, bucket_of(name, self.buckets), version, version, state)

    def read(
        self, name: str, snapshot: Stored | None, parts: dict[str, Stored]
    ) -> tuple[Stream, list[str]]:
        """A stream from what is stored of it, and the parts that its events have to be folded for.

        It is not taken in yet, if it is new here. A part without a row is stored as nothing.
        """
        stream = self.streams.get(name)
        if stream is not None:
            if any(part.version > stream.stored for part in parts.values()):
                raise MovedOn(name)
            refold = []
        elif snapshot is None:
            return self._stream(name, 0, snapshots.fresh(name)), []
        else:
            stream = self._stream(name, snapshot.version, {})
            refold = snapshots.unknown(name, snapshot.fold)
            if not snapshot.fold:
                stream.changed |= {*refold}  # whatever lies beside it
            if not refold or refold[0] not in snapshots.in_the_row(snapshots.kind_of(name)):
                stream.state.update(snapshots.decode(name, snapshot.state))
        for part, stored in parts.items():
            if part in refold or part in stream.state:
                continue
            if not stored.fold:
                stream.state[part] = PARTS[part].type()
            elif stored.fold == snapshots.part_version(part):
                stream.state[part] = snapshots.decode_part(part, stored.state)
            else:
                refold.append(part)
        return stream, refold

    def take_in(
        self, stream: Stream, refold: list[str], events: Iterable[tuple[str, bytes]]
    ) -> None:
        """Take a stream in, with the parts that its events come to."""
        if refold:
            folded = snapshots.refold(stream.name, events, refold)
            stream.state.update(folded)
            stream.changed |= {p for p in refold if folded[p] != PARTS[p].type()}
        self.streams[stream.name] = stream

    def follow(self, ahead: "WorkingSet") -> None:
        """Start from what another set will have stored. It must not be decided on any more."""
        for stream in ahead.changed():
            self.streams[stream.name] = Stream(
                stream.name, stream.bucket, stream.version, stream.version, stream.state
            )

    def beside(self, names: Iterable[str]) -> "WorkingSet":
        """A set that begins as this one: what is decided on these streams in it changes none of
        this one's. Others are only read."""
        known = self.streams
        own = {
            name: replace(
                known[name], state=snapshots.copied(known[name].state), changed=frozenset()
            )
            for name in names
        }
        return WorkingSet(self.buckets, known | own, dict(self.lanes))

    def decide(
        self,
        command: Command,
        names: list[str],
        at: datetime,
        now: datetime,
        told: bool = True,
        seen: int | None = None,
    ) -> tuple[list[Entry], Mapping[str, Any]]:
        """(the entries that this command makes, its receipt). A refusal changes nothing.

        `names` are the command's streams as it names them itself; `seen` is the version of the
        first that it may meet alone. Without `told` nobody asks for the receipt: it stays empty.
        """
        if at > now:
            raise DatedInFuture(at, now)
        streams = [self.streams[name] for name in names]
        if seen is not None and seen != streams[0].version:
            raise ChangedSince(seen, streams[0].version)
        changes, parts = carry_out(command, at, [stream.state for stream in streams])
        entries = []
        for number, event, part in changes:
            stream = streams[number]
            if snapshots.lies_beside(part):
                stream.changed |= {part}
            stream.version += 1
            self.written[stream.name] = stream
            self.lanes[stream.bucket] = offset = self.lanes.get(stream.bucket, 0) + 1
            entries.append(Entry(stream, stream.version, offset, event))
        if not told:
            return entries, {}
        return entries, command.receipt([entry.event for entry in entries], **parts)

    def only_read(self, askers: Iterable[tuple[Command, list[str]]]) -> list[tuple[Stream, int]]:
        """The streams that these commands (with the names of their streams) read and nothing in
        this set has changed, each with the lane of whoever reads it."""
        asked = {
            (name, bucket_of(names[0], self.buckets))
            for command, names in askers
            for name in names[len(command.writes) :]
        }
        found = [(self.streams[name], lane) for name, lane in sorted(asked)]
        return [(stream, lane) for stream, lane in found if stream.version == stream.stored]

    def changed(self) -> list[Stream]:
        """The streams whose snapshots are to be written."""
        return [stream for stream in self.written.values() if stream.version > stream.stored]

    def settle(self) -> None:
        """Take what was changed for stored."""
        for stream in self.changed():
            stream.stored, stream.changed = stream.version, frozenset()
        self.written.clear()


def last_in(entries: list[Entry], lane: int) -> int:
    """The offset of the last of these in a lane, 0 if there is none."""
    return next((each.offset for each in reversed(entries) if each.stream.bucket == lane), 0)


def require_own_key(command: Command) -> None:
    """Refuses a command from outside that brings no key, or one that begins as ours do."""
    if command.key == NO_KEY:
        raise KeyMissing
    for begins in RESERVED_KEYS:
        if command.key.startswith(begins):
            raise KeyReserved(begins)


def require_askable(command: Command, tells_history: bool) -> None:
    """Refuses what nobody may ask, and what only who tells a history may."""
    require_own_key(command)
    if command.despite:
        if not tells_history:
            raise OnlyHistories
        require_excusable(command.despite)


EVENTS = (
    "SELECT topic, state FROM stored_events WHERE originator_id = %s"
    " AND originator_version <= %s ORDER BY originator_version"
)
