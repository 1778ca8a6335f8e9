"""Import: history through the same door as a command, wide open.

One line is one fact: a command in JSON with the time at which it happened. Every fact is decided
by the same rules as a live one, on snapshots kept in memory. A file is a sequence of batches, like
those of live commands: they are staged, and at the end appended one after the other in one
transaction. Live commands go on meanwhile: what they changed is noticed at the end, and then the
file is decided once more with the lanes in hand.
"""

import gc
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from datetime import UTC, datetime
from functools import partial
from itertools import cycle
from typing import Any, NamedTuple, TypeAlias

import msgspec
import psycopg
from psycopg import Connection

from domain.kernel.command import FILE_KEYS, NO_KEY, Command
from domain.kernel.refusal import Refusal, require_excusable
from ledger import clocks
from ledger.commands import line_of, packed
from ledger.database import bucket_of, connect, keep_time, meta
from ledger.facts import Fact, Place, Reading
from ledger.imported import Imported, Late, Taken
from ledger.keyring import Secrets
from ledger.later import LaterFacts
from ledger.lines import Source, lines_of
from ledger.log import persons, snapshots
from ledger.log.append import (
    CONFLICTS,
    Answer,
    Batch,
    Lines,
    NewEvent,
    Read,
    event_of,
    parts_of,
    portions,
    snapshots_of,
)
from ledger.log.arrays import microseconds
from ledger.log.persons import digest_of
from ledger.log.working import (
    EVENTS,
    KeyReused,
    MovedOn,
    Stored,
    WorkingSet,
    last_in,
    require_own_key,
)
from ledger.rejects import Rejection, Rejects, Why, defect, why

WORTH_ANALYZING = 50_000
"""After so many events the planner is told, rather than left to find out a minute later."""
BATCH_EVENTS = 500
"""About so many go in a batch: larger ones leave the caches, and whoever copies one asks the system
for its memory anew."""
MAX_REJECTIONS = 100
"""How many rejected lines are told, beside the first of each file and reason; all are counted."""


class LineFailed(Exception):
    """A rule broke on this line: a defect of ours. Nothing of its file was written."""


class Importer:
    """Loads files of facts into one ledger. Between files it remembers the snapshots it wrote."""

    def __init__(self, dsn: str, *, now: datetime, recorded_as_occurred: bool = False) -> None:
        """`recorded_as_occurred` is for a demo, whose history pretends to have been recorded
        as it happened; facts of a real installation are recorded when they are imported."""
        self._dsn = dsn
        self._now = now
        self._as_occurred = recorded_as_occurred
        with connect(dsn) as connection:
            known = meta(connection)
        keep_time(known)
        self._buckets = int(known["buckets"])
        self._secrets = Secrets.of(known)
        self._forget()
        self._latest = datetime.min.replace(tzinfo=UTC)

    def load(
        self,
        lines: Callable[[], Iterable[bytes]],
        *,
        key: str,
        progress: Callable[[int], None] | None = None,
        rejects: Rejects | None = None,
        despite: tuple[str, ...] = (),
    ) -> Imported:
        """Load one file of facts as it stands."""
        source = lines_of(key, lines)
        return self.load_files(source, progress=progress, rejects=rejects, despite=despite)

    def load_files(
        self,
        source: Source,
        *,
        progress: Callable[[int], None] | None = None,
        rejects: Rejects | None = None,
        keep: bool = True,
        in_order: bool = False,
        tell_late: bool = False,
        despite: tuple[str, ...] = (),
    ) -> Imported:
        """Load files, all of them or (if `rejects` keep lines) what is good; each once for its key.

        They are run through again if a live command was faster, and if a rule broke, this time with
        a copy of the states before each line, so that the others are decided as if that line were
        not there. Without `keep` all is decided and nothing written. `in_order` raises OutOfOrder
        where time goes back; `tell_late` tells what is judged by a later state. `despite`: rules
        that protect a live desk and that any of the facts may have broken.
        """
        require_excusable(despite)
        options = _Options(keep, in_order, tell_late, despite)
        careful = exclusive = False
        while True:
            attempt = _Attempt(self, source, progress, rejects, careful, options)
            try:
                with _uncollected(), self._connect() as connection, self._connect() as reader:
                    if attempt.stage(connection, reader, exclusive):
                        attempt.settle(connection)
                    return attempt.done
            except LineFailed:
                self._forget()
                if careful:
                    raise
                careful = True
            except (psycopg.Error, MovedOn) as failure:
                self._forget()
                if exclusive or getattr(failure, "sqlstate", CONFLICTS[0]) not in CONFLICTS:
                    raise
                exclusive = True
            except BaseException:
                self._forget()
                raise

    def load_all(
        self,
        files: Iterable[tuple[str, Callable[[], Iterable[bytes]]]],
        progress: Callable[[int], None] | None = None,
    ) -> Iterator[Imported]:
        """Load (key, lines) one after the other; while one is written, the next is decided, and
        while a batch is sent, the one after it.

        Each file is kept whole or not at all. Raises if another process writes to the same
        streams meanwhile, and if a rule breaks: what was yielded is in, the rest can be loaded
        again.
        """
        settling: Future[Imported] | None = None
        try:
            with (
                _uncollected(),
                self._connect() as reader,
                self._connect() as one,
                self._connect() as other,
                ThreadPoolExecutor(1) as writer,
                ThreadPoolExecutor(1) as sender,
            ):
                connections = cycle((one, other))  # the one settles while the other stages
                for key, lines in files:
                    attempt = _Attempt(self, lines_of(key, lines), progress, sender=sender)
                    connection = next(connections)
                    staged = attempt.stage(connection, reader, exclusive=False)
                    if settling is not None:
                        yield settling.result()
                    settle = partial(attempt.settle, connection) if staged else attempt.tell
                    settling = writer.submit(settle)
                if settling is not None:
                    yield settling.result()
        except BaseException:
            self._forget()
            raise

    def _connect(self) -> Connection[Any]:
        return connect(self._dsn, pinned=True)

    def _forget(self) -> None:
        self._working = WorkingSet(self._buckets)
        self._keys = persons.DataKeys(self._secrets, self._buckets)


Pieces: TypeAlias = Sequence[tuple[Taken, Mapping[int, bytes]]]
"""Lines that were taken of files, by number."""


class _Options(NamedTuple):
    """How files are gone through."""

    keep: bool = True
    in_order: bool = False
    tell_late: bool = False
    despite: tuple[str, ...] = ()


class _Broken(Exception):
    """(why): a rule broke on this line, and nothing of it is left."""


class _Attempt:
    """One run through the files."""

    def __init__(
        self,
        owner: Importer,
        source: Source,
        progress: Callable[[int], None] | None,
        rejects: Rejects | None = None,
        careful: bool = False,
        options: _Options = _Options(),  # noqa: B008 - a tuple
        sender: ThreadPoolExecutor | None = None,
    ) -> None:
        self.owner = owner
        self.source = source
        self.options = options
        self.done = Imported.of(source.keys, owner._buckets)
        self.progress = progress or (lambda facts: None)
        self.rejects = rejects or Rejects()
        self.careful = careful
        self.unreadable: dict[str, Why] = {}  # streams, and what broke on them
        self.later = LaterFacts()
        self.reading = Reading(options.in_order)
        self.left_out: set[int] = set()  # files that were taken before
        self.working = owner._working
        self.now = owner._now
        self.recorded = self.now  # when what is taken now is recorded
        self.stamp = microseconds(self.recorded)
        self.latest = owner._latest
        self.keys: dict[str, bytes] = {}
        self.reads: set[tuple[str, int]] = set()  # with the lane of whoever reads it
        self.touched: set[int] = set()  # lanes
        self.staged = 0  # batches
        self.sender = sender
        self.sent: Future[None] | None = None  # the last of them, maybe on its way
        self.events: list[NewEvent] = []  # these are of the batch that is being made
        self.stamps: list[bytes] = []
        self.answers: list[Answer] = []
        self.tellings: list[persons.Telling] = []

    def stage(self, connection: Connection[Any], reader: Connection[Any], exclusive: bool) -> bool:
        """Decide every line and stage what comes of it. False if nothing is to be written."""
        owner, done = self.owner, self.done
        connection.execute("BEGIN")
        if exclusive:
            lanes = list(range(owner._buckets))
            connection.execute("SELECT take_lanes(%b::int2[])", (lanes,))
        if self._answered(connection):
            connection.execute("ROLLBACK")
            return False
        self.rejects.begin()
        connection.execute("SELECT stage_import()")
        self._floor(connection)
        # What is staged is sent, and not waited for.
        with connection.pipeline():
            self._stage_facts(connection, reader)
            self._wait_until_sent()
        if not self.options.keep or (done.rejected and not self.rejects.keeps_good):
            owner._forget()
            connection.execute("ROLLBACK")
            done.kept = False
            # The same files may have come in meanwhile: then that is why lines are refused.
            if done.rejected and self._answered(connection):
                done.kept = True
                self.rejects.begin()
            return False
        with connection.pipeline():
            self._stage_snapshots(connection)
            self._wait_until_sent()
        self.rejects.seal()
        self.working.settle()
        owner._latest = self.latest
        return True

    def settle(self, connection: Connection[Any]) -> Imported:
        """Append what is staged, and commit."""
        try:
            connection.execute("SELECT append_staged(%s::int2[])", (list(self.touched),))
        except psycopg.Error as failure:
            raise clocks.refusal_of(failure) or failure from None
        connection.execute("COMMIT")
        if self.done.events > WORTH_ANALYZING:
            connection.execute(
                "ANALYZE stored_events, snapshots, command_log, persons, person_keys"
            )
        return self.done

    def tell(self) -> Imported:
        """What was done."""
        return self.done

    def _answered(self, connection: Connection[Any]) -> bool:
        """Whether all files were taken before; of those that were, what was done then."""
        files = {each.key: each for each in self.done.files}
        rows = connection.execute(
            "SELECT c.key, digest, response FROM unnest(%s::text[], %s::int2[]) k(key, bucket)"
            " JOIN command_log c USING (key, bucket)",
            (list(files), [each.home for each in files.values()]),
        ).fetchall()
        for key, digest, response in rows:
            if digest:
                raise KeyReused  # by a command: a file has no digest of its own
            told, file = msgspec.json.decode(response), files[key]
            file.facts, file.events, file.rejected = told["facts"], told["events"], told["rejected"]
            file.replayed = True
        self.left_out = {n for n, file in enumerate(self.done.files) if file.replayed}
        self.done.replayed = len(rows) == len(files)
        if self.done.replayed:
            self.done.rejections.clear()
        return self.done.replayed

    def _floor(self, connection: Connection[Any]) -> None:
        """Recorded times never go back: they start from what the log says, if that can be."""
        clocks.check(connection, self.now)
        row = connection.execute("SELECT max(recorded_at) FROM log_end").fetchone()
        assert row is not None
        self.latest = max(row[0], self.owner._latest)
        self._record(self.latest if self.owner._as_occurred else max(self.now, self.latest))

    def _record(self, at: datetime) -> None:
        self.recorded, self.stamp = at, microseconds(at)

    def _stage_facts(self, connection: Connection[Any], reader: Connection[Any]) -> None:
        for chunk in self.source.chunks():
            facts, bad = self.reading.facts(chunk, self.left_out)
            self._load_snapshots(reader, ((fact[3], fact[4]) for fact in facts))
            answered = self._answered_keys(reader, facts)
            pieces: defaultdict[int, dict[int, bytes]] = defaultdict(dict)
            careful = self.careful or bool(self.unreadable)
            take = self._take_with_care if careful else self._take
            for fact in facts:
                number, line, text, command, _ = fact
                try:
                    take(fact, answered)
                except Refusal as refusal:
                    bad.append((fact, why(refusal, command)))
                except _Broken as broken:
                    bad.append((fact, broken.args[0]))
                except Exception as failure:
                    raise LineFailed(f"line {line} of {self.done.files[number].key}") from failure
                else:
                    if command.key.startswith(FILE_KEYS):
                        pieces[number][line] = line_of(text, command)
                    if len(self.events) >= BATCH_EVENTS:
                        self._stage_events(connection, reader)
            for place, reason in sorted(bad, key=lambda each: each[0][:2]):
                self._reject(place, reason)
            self._stage_events(connection, reader, pieces)
            self.progress(len(chunk))

    def _stage_events(
        self,
        connection: Connection[Any],
        reader: Connection[Any],
        pieces: Mapping[int, Mapping[int, bytes]] | None = None,
    ) -> None:
        """Stage what came of the last lines, and pieces of the files that end with them."""
        kept = [(self.done.files[n], lines) for n, lines in (pieces or {}).items()]
        if kept or self.events or self.answers:
            batch = Batch(
                self.recorded,
                lanes=self.working.lanes,
                events=self.events,
                recorded=self.stamps,
                answers=self.answers,
                sealed=self._sealed(reader),
            )
            self.staged += 1
            self._stage(connection, self.staged, batch, kept)
        self.touched.update(self.working.lanes)
        self.working.lanes = {}
        self.events, self.stamps, self.answers, self.tellings = [], [], [], []

    def _sealed(self, reader: Connection[Any]) -> bytes | None:
        keys = self.owner._keys
        told = [each for each in self.tellings if each.needs_key]
        fresh = [each.whom for each in told if each.stream_version == 1]
        if (asked := keys.asked([each.whom for each in told], fresh)) is not None:
            keys.take(reader.execute(persons.KEYS, asked, binary=True).fetchall())
        return keys.sealed(self.tellings)

    def _stage(
        self, connection: Connection[Any], turn: int, batch: Batch, pieces: Pieces = ()
    ) -> None:
        """Send a batch, with lines of files; nothing of it changes any more. If somebody else does
        it, one is on its way while the next is decided."""
        if self.sender is None:
            _send(connection, turn, batch, pieces)
        else:
            self._wait_until_sent()
            self.sent = self.sender.submit(_send, connection, turn, batch, pieces)

    def _wait_until_sent(self) -> None:
        sent, self.sent = self.sent, None
        if sent is not None:
            sent.result()

    def _reject(self, place: Place, reason: Why) -> None:
        file, line, text, command, named = place
        self.done.files[file].rejected += 1
        rejection = Rejection(line, reason.code, reason.reason, file, reason.field)
        rejection.numbers = reason.numbers
        if command is not None:
            rejection.command = command.called
            rejection.member_id = getattr(command, "member_id", None)
            rejection.key = None if command.key.startswith(FILE_KEYS) else command.key
        elif isinstance(named, str):
            rejection.member_id = named
        if self.rejects.add(rejection, text) or len(self.done.rejections) < MAX_REJECTIONS:
            self.done.rejections.append(rejection)

    def _load_snapshots(
        self, reader: Connection[Any], askers: Iterable[tuple[Command, list[str]]]
    ) -> None:
        missing = self.working.missing(askers)
        if not missing.snapshots and not missing.parts:
            return
        cursor = reader.cursor(binary=True)
        asked = (
            list(missing.snapshots),
            list(missing.snapshots.values()),
            [name for name, _ in missing.parts],
            list(missing.parts.values()),
            [part for _, part in missing.parts],
        )
        rows = cursor.execute(_HEADS, asked).fetchall()
        stored = {place - 1: Stored(n, fold or "", said or b"") for place, n, fold, said in rows}
        for name, found in missing.of(stored).items():
            try:
                stream, refold = self.working.read(name, *found)
                events = []
                if refold:
                    events = cursor.execute(EVENTS, (name, stream.stored)).fetchall()
                self.working.take_in(stream, refold, events)
            except (psycopg.Error, MovedOn):
                raise
            except Exception as failure:  # noqa: BLE001 - this stream cannot be read: others can
                self.unreadable[name] = defect(failure)
        if self.options.tell_late:
            self.later.read(reader, self.working, missing.snapshots)

    def _answered_keys(self, reader: Connection[Any], facts: list[Fact]) -> dict[str, bytes]:
        """Digests by key of those facts that were answered before, here or live."""
        keyed = [(fact[3].key, fact[4]) for fact in facts if fact[3].key != NO_KEY]
        if not keyed:
            return {}
        lanes = [bucket_of(names[0], self.owner._buckets) for _, names in keyed]
        rows = reader.execute(
            "SELECT c.key, c.digest FROM unnest(%s::text[], %s::int2[]) k(key, bucket)"
            " JOIN command_log c ON c.key = k.key AND c.bucket = k.bucket",
            ([key for key, _ in keyed], lanes),
        ).fetchall()
        return {key: bytes(digest) for key, digest in rows}

    def _take(self, fact: Fact, answered: dict[str, bytes]) -> None:
        """Decide one fact and stage what comes of it."""
        number, line, _, command, names = fact
        file = self.done.files[number]
        asked = digest = b""
        own_key = command.key != NO_KEY
        if own_key:
            require_own_key(command)
            asked = command.asked()
            digest = digest_of(command, asked, self.owner._secrets)
            known = self.keys.get(command.key) or answered.get(command.key)
            if known is not None:
                if known != digest:
                    raise KeyReused
                self.done.replayed_facts += 1
                return
        else:
            # The command is this line's alone, so it may still be given its key in place.
            command.__dict__["key"] = f"{file.key}:{line}"
        if command.despite:
            require_excusable(command.despite)
        if self.options.despite:
            # And so it is kept, though its key stands for the line as it was sent.
            allowed = dict.fromkeys((*command.despite, *self.options.despite))
            command.__dict__["despite"] = tuple(allowed)
            command.model_fields_set.add("despite")
            asked = asked and command.asked()
        at = command.at
        assert at is not None
        entries, body = self.working.decide(command, names, at, self.now, told=own_key)
        if command.reads:
            home = bucket_of(names[0], self.owner._buckets)
            for name in names[len(command.writes) :]:
                self.reads.add((name, home))
        events = list(map(event_of, entries))
        told = None
        if command.identifying or command.erases:
            told = persons.telling(command, entries, self.owner._buckets)
        if own_key:
            home = bucket_of(names[0], self.owner._buckets)
            offset, response = last_in(entries, home), msgspec.json.encode(body)
            answer = Answer(command.key, digest, home, offset, response, asked)
            self.answers.append(answer)
            self.keys[command.key] = digest
        # From here on nothing breaks.
        self.events += events
        if told is not None:
            self.tellings.append(told)
        if self.owner._as_occurred:
            if at > self.latest:
                self.latest = at
                self._record(at)
            self.stamps += [self.stamp] * len(events)
        file.facts += 1
        file.events += len(entries)
        if self.options.tell_late and (latest := self.later.than(command, names, at)):
            self.done.late_facts += 1
            if len(self.done.late) < MAX_REJECTIONS:
                self.done.late.append(Late(number, line, command.called, *latest))

    def _take_with_care(self, fact: Fact, answered: dict[str, bytes]) -> None:
        """The same, and if a rule breaks on it nothing of this line is left."""
        *_, command, names = fact
        for name in names:
            if name in self.unreadable:
                raise _Broken(self.unreadable[name])
        streams = [self.working.streams[name] for name in names]
        versions = [(stream, stream.version) for stream in streams]
        taken = [(streams[number], part) for _, number, part in command.takes]
        encode = snapshots.encode_part
        states = [(stream, part, encode(stream.state[part])) for stream, part in taken]
        lanes, staged = dict(self.working.lanes), len(self.events)
        try:
            self._take(fact, answered)
        except Refusal:
            raise
        except Exception as failure:  # noqa: BLE001 - whatever it is, it is this line's alone
            for stream, part, state in states:
                stream.state[part] = snapshots.decode_part(part, state)
            for stream, version in versions:
                stream.version = version
            self.working.lanes = lanes
            del self.events[staged:]
            raise _Broken(defect(failure)) from None

    def _stage_snapshots(self, connection: Connection[Any]) -> None:
        """Stage what may be refused: the file's key, what it read, and its snapshots, each once. It
        has its turn before the events, so that a conflict costs nothing more."""
        done, streams = self.done, self.working.streams
        told = [
            (each, {"facts": each.facts, "events": each.events, "rejected": each.rejected})
            for each in done.files
            if not each.replayed
        ]
        read = [(streams[name], lane) for name, lane in sorted(self.reads)]
        closing = Batch(
            self.recorded,
            reads=[Read(s.name, lane, s.stored) for s, lane in read if s.version == s.stored],
            answers=[Answer(f.key, b"", f.home, 0, msgspec.json.encode(t), b"") for f, t in told],
        )
        turn = 0
        for some in portions(snapshots_of(self.working)):
            self.touched.update(snapshot.lane for snapshot in some)
            closing.snapshots = some
            self._stage(connection, turn, closing)
            closing, turn = Batch(self.recorded), turn - 1
        for others in portions(parts_of(self.working)):
            if others:
                self._stage(connection, turn, Batch(self.recorded, parts=others))
                turn -= 1


def _send(connection: Connection[Any], turn: int, batch: Batch, pieces: Pieces) -> None:
    for file, lines in pieces:
        first, size, content = packed(lines)
        batch.lines.append(Lines(file.key, file.home, first, size, len(lines), content))
    connection.execute(
        "INSERT INTO staged_batches VALUES (%s, %b::ledger.batch)", (turn, batch.encoded())
    )


_HEADS = (
    "SELECT ord, number, fold, said FROM load_batch('{}', '{}', %b::text[], %b::int2[],"
    " %b::text[], %b::int2[], %b::text[])"
)


@contextmanager
def _uncollected() -> Iterator[None]:
    """Without the collector: an import makes no cycles, and a pass over its states costs 0.1 s."""
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()
