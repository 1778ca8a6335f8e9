"""A working set: states of streams in memory, on which commands are decided one after the other.

Each decision sees what those before it changed. Live batches and imports use the same one.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from domain.command import NO_KEY, RESERVED_KEYS, Command
from domain.event import Event
from domain.refusal import Refusal
from ledger import heads
from ledger.database import bucket_of, lanes_of


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
class DatedInFuture(Refusal):
    """It is dated after the ledger's clock."""

    code = "dated_in_future"
    at: datetime
    now: datetime


@dataclass(slots=True)
class Stream:
    """One stream: its lane, the version that is stored, the version and state in memory."""

    name: str
    bucket: int
    stored: int
    version: int
    state: Any


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

    def missing(self, askers: Iterable[list[str]]) -> dict[str, int]:
        """The streams of some commands that are not here yet, each with a lane that has its head:
        its own, or of reference data that of the first command that asks."""
        found: dict[str, int] = {}
        for names in askers:
            home = bucket_of(names[0], self.buckets)
            for name in names:
                if name not in self.streams and name not in found:
                    lanes = lanes_of(name, self.buckets)
                    found[name] = home if home in lanes else lanes[0]
        return found

    def put(self, name: str, version: int, state: Any) -> None:
        """Take a stream in as it is stored."""
        self.streams[name] = Stream(name, bucket_of(name, self.buckets), version, version, state)

    def follow(self, ahead: "WorkingSet") -> None:
        """Start from what another set will have stored. It must not be decided on any more."""
        for stream in ahead.changed():
            self.streams[stream.name] = Stream(
                stream.name, stream.bucket, stream.version, stream.version, stream.state
            )

    def decide(
        self, command: Command, names: list[str], at: datetime, now: datetime, told: bool = True
    ) -> tuple[list[Entry], dict[str, Any]]:
        """(the entries that this command makes, its receipt). A refusal changes nothing.

        `names` are the command's streams as it names them itself. Without `told` nobody asks
        for the receipt: it stays empty.
        """
        if at > now:
            raise DatedInFuture(at, now)
        streams = self.streams
        known = dict(zip(command.kinds, [streams[name] for name in names], strict=True))
        states = {kind: stream.state for kind, stream in known.items()}
        events = command.decide(at, **states)
        entries = []
        for event in events:
            assert event.stream in command.writes, f"{type(command).__name__} only reads it"
            stream = known[event.stream]
            event.apply(stream.state)
            stream.version += 1
            self.lanes[stream.bucket] = offset = self.lanes.get(stream.bucket, 0) + 1
            entries.append(Entry(stream, stream.version, offset, event))
        return entries, command.receipt(events, **states) if told else {}

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
        """The streams whose heads are to be written."""
        return [stream for stream in self.streams.values() if stream.version > stream.stored]

    def heads(self) -> list[tuple[Stream, int]]:
        """The heads to be written: of each changed stream, one in each lane that has it."""
        return [
            (stream, lane)
            for stream in self.changed()
            for lane in lanes_of(stream.name, self.buckets)
        ]


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


EVENTS = (
    "SELECT topic, state FROM stored_events WHERE originator_id = %s"
    " AND originator_version <= %s ORDER BY originator_version"
)


def state_from(name: str, fold: str, state: bytes) -> Any:
    """The state in a stored head, or None if other rules folded it."""
    return heads.decode(name, state) if fold == heads.fold_version(heads.kind_of(name)) else None
