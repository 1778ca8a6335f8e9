"""Group commit: every command of every kind is decided and made durable with others at once.

One batcher a process. Commands queue; up to `MAX_BATCH` go together: their keys and snapshots are
read, Python decides them one after the other on a working set, and one call of a function appends
everything and commits. While one batch is being written the next is decided on what the first will
have written; if the first fails, the second is decided again.
"""

import asyncio
import contextlib
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from struct import Struct
from typing import Any, Self, TypeAlias

import msgspec
import psycopg
from psycopg.abc import Buffer

from domain.catalogue import KINDS
from domain.kernel.command import Command
from domain.kernel.refusal import Refusal
from ledger import clocks
from ledger.database import aconnect, bucket_of, keep_time
from ledger.keyring import Secrets
from ledger.log import persons, snapshots
from ledger.log.append import (
    CONFLICTS,
    Answer,
    Batch,
    NewEvent,
    Read,
    event_of,
    parts_of,
    snapshots_of,
)
from ledger.log.arrays import int2s, microseconds, texts
from ledger.log.receipts import Receipt, Trial
from ledger.log.wire import Question, Wire
from ledger.log.working import (
    EVENTS,
    KeyReused,
    MovedOn,
    Stored,
    WorkingSet,
    last_in,
    require_askable,
)
from ledger.trouble import Observer, Trouble

MAX_BATCH = 128
MAX_QUEUE = 4096
MAX_TRIALS = 256
"""Requests to try something that wait for those before them."""
MAX_ATTEMPTS = 5
"""How often a batch is tried again when another process was faster or the connection broke."""


@dataclass
class Busy(Refusal):
    """Too much is waiting already: try again in a while, a write with the same key."""

    code = "busy"
    queue: str
    waiting: int
    retry_after_s: int


@dataclass
class Unanswered(Refusal):
    """The database did not answer: the command may be in. Ask again with the same key."""

    code = "unanswered"
    retry_after_s: int


class CommandFailed(Exception):
    """A rule broke on this command: a defect of ours. Nothing of it was written."""


@dataclass(slots=True)
class _Waiting:
    """A command in the queue and the future that its asker waits on."""

    command: Command
    names: list[str]  # of its streams
    asked: bytes
    digest: bytes
    future: asyncio.Future[Receipt]
    seen: int | None = None  # the version of its first stream that it may meet alone
    sent: bool = False  # an append was begun whose answer may have been lost

    @property
    def writes(self) -> list[str]:
        """The streams that it may write to: the first of them."""
        return self.names[: len(self.command.writes)]

    def answer(self, receipt: Receipt) -> None:
        if not self.future.done():
            self.future.set_result(receipt)

    def refuse(self, reason: BaseException) -> None:
        if not self.future.done():
            self.future.set_exception(reason)


@dataclass(slots=True)
class _Decided:
    """A command with what it writes."""

    waiting: _Waiting
    working: WorkingSet
    body: Mapping[str, Any]
    answer: Answer
    events: list[NewEvent]
    told: persons.Telling | None


@dataclass(slots=True)
class _Batch:
    """Commands decided together, and what they will write. Nobody is answered before it is in."""

    waiting: list[_Waiting]
    working: WorkingSet
    now: datetime
    keys: persons.DataKeys
    decided: dict[str, _Decided] = field(default_factory=dict)  # by key
    again: list[tuple[_Waiting, str]] = field(default_factory=list)
    known: list[tuple[_Waiting, Receipt]] = field(default_factory=list)
    refused: list[tuple[_Waiting, Refusal]] = field(default_factory=list)
    encoded: bytes = b""  # as append_batch takes it

    def answer(self, bases: dict[int, int]) -> None:
        """Tell everybody; `bases` is the position of each lane before the batch."""
        receipts: dict[str, Receipt] = {}
        for key, done in self.decided.items():
            lane, offset = done.answer.lane, done.answer.offset
            position = bases[lane] + offset if offset else 0
            receipts[key] = Receipt(lane, position, False, done.body)
            done.waiting.answer(receipts[key])
        for each, key in self.again:
            first = receipts[key]
            each.answer(Receipt(first.bucket, first.position, True, first.body))
        for each, receipt in self.known:
            each.answer(receipt)
        for each, refusal in self.refused:
            each.refuse(refusal)

    def trials(self) -> dict[int, "Trial | Refusal"]:
        """What each would be answered, by the id of who waits."""
        found: dict[int, Trial | Refusal] = {}
        for done in self.decided.values():
            command, names = done.waiting.command, done.waiting.names
            parts = command.parts([done.working.streams[name].state for name in names])
            at = command.at or self.now
            outlook = command.outlook(at, **parts)
            found[id(done.waiting)] = Trial(done.body, done.events, outlook)
        for each, key in self.again:
            found[id(each)] = Trial(self.decided[key].body)
        for each, receipt in self.known:
            found[id(each)] = Trial(receipt.body, first=receipt)
        for each, refusal in self.refused:
            found[id(each)] = refusal
        return found


_Tried: TypeAlias = Trial | Refusal | CommandFailed


class _Defect(Exception):
    """A rule broke while a batch was decided: decide the others again without this command."""

    def __init__(self, waiting: _Waiting) -> None:
        self.waiting = waiting


_UNWRITTEN = (*CONFLICTS, *clocks.STATES)
"""After these an append was certainly not written."""
_LOAD = Question(
    b"load",
    b"SELECT of_key, ord, number, bucket, fold, said, digest"
    b" FROM load_batch($1::text[], $2::int2[], $3::text[], $4::int2[],"
    b" $5::text[], $6::int2[], $7::text[])"
    b" WHERE check_clock($8::timestamptz)",
)
_APPEND = Question(b"append", b"SELECT bucket, base FROM append_batch($1::batch)")
_INT2, _INT8, _TRUE = Struct(">h").unpack, Struct(">q").unpack, b"\x01"


class Ledger:
    """The door for commands. `now` is the installation's clock; see `execute`."""

    def __init__(
        self,
        dsn: str,
        *,
        now: Callable[[], datetime],
        tells_history: bool = False,
        observer: Observer | None = None,
    ) -> None:
        """`tells_history`: whoever asks here may import, and so say what happened `despite` a rule
        that protects a live desk."""
        self._dsn = dsn
        self._now = now
        self._tells_history = tells_history
        self._queue: deque[_Waiting] = deque()
        self._awake = asyncio.Event()
        self._enough = 1
        self._wires: dict[str, Wire] = {}
        self._buckets = 1
        self._secrets: Secrets  # known once it is entered
        self._task: asyncio.Task[None] | None = None
        self._trying, self._trials = asyncio.Lock(), 0
        self._observer = observer or Observer()
        self.trouble = Trouble("Writes", self._observer)

    async def __aenter__(self) -> Self:
        connection = (await self._wire("writer")).connection
        rows = await (await connection.execute("SELECT name, value FROM ledger_meta")).fetchall()
        known = dict(rows)
        keep_time(known)
        self._buckets = int(known["buckets"])
        self._secrets = Secrets.of(known)
        for kind in KINDS:
            snapshots.fold_version(kind)  # reads the rules once: not while somebody waits
        self._task = asyncio.create_task(self._run(), name="batcher")
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._task is not None:
            self._task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._task
        for waiting in self._queue:
            waiting.refuse(Unanswered(retry_after_s=1))
        await self._disconnect()

    async def execute(self, command: Command, seen: int | None = None) -> Receipt:
        """Decide a command and make it durable, exactly once for its key.

        Raises the rule's refusal; `changed_since` if its first stream is not as it was `seen`;
        `key_missing` and `key_reserved`; `key_reused` if the key stands for another command;
        `only_histories` and `never_excused` where it says `despite`; `busy` if too many wait;
        `unanswered` if the database is away. Whoever is cancelled while waiting does not know
        whether it happened: ask again with the same key.
        """
        require_askable(command, self._tells_history)
        if len(self._queue) >= MAX_QUEUE:
            raise Busy(queue="commands", waiting=len(self._queue), retry_after_s=1)
        waiting = self._waiting(command, seen)
        self._queue.append(waiting)
        if len(self._queue) >= self._enough:
            self._awake.set()
        return await waiting.future

    def _waiting(self, command: Command, seen: int | None = None) -> _Waiting:
        future: asyncio.Future[Receipt] = asyncio.get_running_loop().create_future()
        asked = command.asked()
        digest = persons.digest_of(command, asked, self._secrets)
        return _Waiting(command, command.streams(), asked, digest, future, seen)

    # ------------------------------------------------------------------------------ only tried
    async def attempt(
        self, *commands: Command, seen: int | None = None, apart: bool = False
    ) -> list[_Tried]:
        """What would come of these commands now, decided in this order as `execute` decides them,
        on what is stored; `apart`: of each as if it were the only one. It reads alone, on a
        connection on which PostgreSQL writes nothing: no key is used up, no lane waited for.
        Raises `busy`, and what befalls the connection."""
        if self._trials >= MAX_TRIALS:
            raise Busy(queue="trials", waiting=self._trials, retry_after_s=1)
        self._trials += 1
        try:
            async with self._trying:
                try:
                    return await self._attempted(commands, seen, apart)
                except BaseException as failure:  # noqa: BLE001 - an answer may be left unread
                    await self._disconnect("trial")
                    raise clocks.refusal_of(failure) or failure from None
        finally:
            self._trials -= 1

    async def _attempted(
        self, commands: tuple[Command, ...], seen: int | None, apart: bool
    ) -> list[_Tried]:
        found: dict[int, _Tried] = {}
        waiting: dict[int, _Waiting] = {}
        for place, command in enumerate(commands):
            try:
                require_askable(command, self._tells_history)
                waiting[place] = self._waiting(command, seen)
            except Refusal as refusal:
                found[place] = refusal
        while waiting:
            try:
                wire = await self._wire("trial")
                tried = await self._prepare(wire, [*waiting.values()], None, apart)
            except _Defect as defect:
                place = next(n for n, each in waiting.items() if each is defect.waiting)
                failed = CommandFailed(type(waiting.pop(place).command).__name__)
                failed.__cause__ = defect.__cause__
                found[place] = failed
            else:
                answers = tried.trials()
                found.update({place: answers[id(each)] for place, each in waiting.items()})
                break
        return [found[place] for place in range(len(commands))]

    # ------------------------------------------------------------------- the batcher's loop
    async def _run(self) -> None:
        """Take what waits, decide it while the batch before is being written, write it."""
        flight: asyncio.Task[bool] | None = None
        ahead: _Batch | None = None  # the batch in flight
        waiting: list[_Waiting] = []
        try:
            while True:
                await self._gathered(flight, ahead)
                waiting = self._take(ahead if flight and not flight.done() else None)
                batch = None
                if flight is not None:
                    if waiting and not flight.done():
                        batch = await self._prepared(waiting, ahead)
                    if not await flight:
                        batch = None
                if batch is None:
                    batch = await self._prepared(waiting, None)
                if batch is None:  # the database is away, or a rule is broken
                    flight, ahead = None, None
                    await self._insist(waiting)
                else:
                    ahead = batch
                    flight = asyncio.create_task(self._land(batch), name="append")
                    flight.add_done_callback(lambda _: self._awake.set())
        finally:
            if flight is not None:
                flight.cancel()
                with contextlib.suppress(asyncio.CancelledError):
                    await flight
            for each in [*waiting, *(ahead.waiting if ahead else ())]:
                each.refuse(Unanswered(retry_after_s=1))

    async def _gathered(self, flight: asyncio.Task[bool] | None, ahead: _Batch | None) -> None:
        """Wait for enough: one, or while a batch is in flight as many as are in that.

        So the askers fall into two halves that take turns; a batch costs too much to be smaller.
        """
        while True:
            flying = len(ahead.waiting) if ahead and flight and not flight.done() else 1
            self._enough = max(1, min(flying, MAX_BATCH))
            if len(self._queue) >= self._enough:
                return
            self._awake.clear()
            await self._awake.wait()

    def _take(self, ahead: _Batch | None) -> list[_Waiting]:
        """The next batch: half of who waits. A key that is in flight waits until it has landed."""
        taken: list[_Waiting] = []
        later: list[_Waiting] = []
        half = (len(self._queue) + (len(ahead.waiting) if ahead else 0) + 1) // 2
        for _ in range(min(MAX_BATCH, half, len(self._queue))):
            each = self._queue.popleft()
            if each.future.cancelled():
                continue
            (later if ahead and each.command.key in ahead.decided else taken).append(each)
        self._queue.extendleft(reversed(later))
        return taken

    async def _prepared(self, waiting: list[_Waiting], ahead: _Batch | None) -> _Batch | None:
        """The batch, decided; None if it must be decided again or cannot be."""
        try:
            return await self._prepare(await self._wire("reader"), waiting, ahead)
        except (_Defect, MovedOn):
            return None
        except Exception as failure:  # noqa: BLE001 - tried again by `_insist`, which tells what it was
            self.trouble.met(failure)
            await self._disconnect("reader")
            return None

    async def _land(self, batch: _Batch) -> bool:
        """Write a batch and answer it. False if it had to be decided again."""
        try:
            bases = {}
            if batch.decided:
                bases = await self._append(await self._wire("writer"), batch)
        except Exception as failure:  # noqa: BLE001 - tried again by `_insist`, which tells what it was
            if getattr(failure, "sqlstate", None) not in CONFLICTS:
                self.trouble.met(failure)
                await self._disconnect("writer")
            await self._insist(batch.waiting)
            return False
        self._landed(batch, bases)
        return True

    def _landed(self, batch: _Batch, bases: dict[int, int]) -> None:
        if bases:
            self.trouble.well()
            self._observer.wrote(len(batch.decided))
        batch.answer(bases)

    async def _insist(self, waiting: list[_Waiting]) -> None:
        """Try until it is answered, with the lanes in hand: nobody can be faster then."""
        failure: Exception = Unanswered(retry_after_s=1)
        attempt = 0
        while attempt < MAX_ATTEMPTS:
            waiting = [each for each in waiting if not each.future.done()]
            if not waiting:
                return
            try:
                wire = await self._wire("writer")
                async with wire.connection.transaction():
                    lanes = list(range(self._buckets))
                    await wire.connection.execute("SELECT take_lanes(%s::int2[])", (lanes,))
                    batch = await self._prepare(wire, waiting, None)
                    bases = await self._append(wire, batch) if batch.decided else {}
            except _Defect as defect:
                failed = CommandFailed(type(defect.waiting.command).__name__)
                failed.__cause__ = defect.__cause__
                defect.waiting.refuse(failed)
            except (
                psycopg.OperationalError,
                psycopg.InterfaceError,
                psycopg.InternalError,
            ) as away:
                self.trouble.met(away)
                await self._disconnect("writer")
                await asyncio.sleep(min(0.05 * 2**attempt, 1.0))
                attempt += 1
            except Exception as error:  # noqa: BLE001 - the batcher outlives whatever befalls it
                failure = clocks.refusal_of(error) or error
                await self._disconnect("writer")
                if isinstance(failure, Refusal):
                    break
                self.trouble.met(error)
                attempt += 1
            else:
                self._landed(batch, bases)
                return
        if attempt == MAX_ATTEMPTS:
            self.trouble.gave_up()
        for each in waiting:
            each.refuse(failure)

    async def _wire(self, role: str) -> Wire:
        known = self._wires.get(role)
        if known is None or known.connection.closed:
            known = self._wires[role] = Wire(await aconnect(self._dsn))
            if role == "trial":
                await known.connection.execute("SET default_transaction_read_only = on")
        return known

    async def _disconnect(self, *roles: str) -> None:
        for role in roles or tuple(self._wires):
            wire = self._wires.pop(role, None)
            if wire is not None:
                with contextlib.suppress(psycopg.Error):
                    await wire.connection.close()

    # ------------------------------------------------------------------------------- a batch
    async def _prepare(
        self, wire: Wire, waiting: list[_Waiting], ahead: _Batch | None, apart: bool = False
    ) -> _Batch:
        """Load what the commands need, decide them, and encode what they write; of what is decided
        `apart` nothing can be written."""
        now = self._now()
        keys = persons.DataKeys(self._secrets, self._buckets)
        batch = _Batch(waiting, WorkingSet(self._buckets), now, keys)
        if ahead is not None:
            batch.working.follow(ahead.working)
            keys.follow(ahead.keys)
        fresh = await self._load(wire, batch, now)
        await keys.read(wire.connection, [each.command for each in fresh])
        for each in fresh:
            first = batch.decided.get(each.command.key)
            if first is not None:
                if first.waiting.digest == each.digest:
                    batch.again.append((each, each.command.key))
                else:
                    batch.refused.append((each, KeyReused()))
                continue
            try:
                keys.require(each.command)
                working = batch.working.beside(each.writes) if apart else batch.working
                batch.decided[each.command.key] = self._decided(working, each, now)
            except Refusal as refusal:
                batch.refused.append((each, refusal))
            except Exception as defect:  # its half-applied state must not reach the others
                raise _Defect(each) from defect
        if batch.decided and not apart:
            batch.encoded = self._encoded(batch, now)
        return batch

    def _decided(self, working: WorkingSet, each: _Waiting, now: datetime) -> _Decided:
        """Decide a command. What it writes is encoded here, so that it alone fails if that does."""
        command = each.command
        entries, body = working.decide(command, each.names, command.at or now, now, seen=each.seen)
        lane = bucket_of(each.names[0], self._buckets)
        answer = Answer(
            command.key,
            each.digest,
            lane,
            last_in(entries, lane),
            msgspec.json.encode(body),
            each.asked,
            undated=command.at is None,
        )
        told = persons.telling(command, entries, self._buckets)
        return _Decided(each, working, body, answer, list(map(event_of, entries)), told)

    async def _load(self, wire: Wire, batch: _Batch, now: datetime) -> list[_Waiting]:
        """Take the snapshots in. Returns the commands whose keys were never answered.

        Nothing is decided, not even a refusal, under a clock that is ahead of the database's.
        """
        waiting, working = batch.waiting, batch.working
        missing = working.missing((each.command, each.names) for each in waiting)
        asked = (
            texts([each.command.key for each in waiting]),
            int2s([bucket_of(each.names[0], self._buckets) for each in waiting]),
            texts(list(missing.snapshots)),
            int2s(list(missing.snapshots.values())),
            texts([name for name, _ in missing.parts]),
            int2s(list(missing.parts.values())),
            texts([part for _, part in missing.parts]),
            microseconds(now),
        )
        rows = await wire.ask(_LOAD, asked)
        answered = set()
        stored: dict[int, Stored] = {}
        for row in range(rows.ntuples):
            of_key, *numbers, fold, said, digest = [rows.get_value(row, n) for n in range(7)]
            index, number = _number(_INT8, numbers[0]) - 1, _number(_INT8, numbers[1])
            if of_key != _TRUE:
                stored[index] = Stored(number, bytes(fold or b"").decode(), bytes(said or b""))
                continue
            each = waiting[index]
            answered.add(index)
            if digest == each.digest:
                replayed = not each.sent  # else it is our own append, whose answer was lost
                body = msgspec.json.decode(said or b"")
                receipt = Receipt(_number(_INT2, numbers[2]), number, replayed, body)
                batch.known.append((each, receipt))
            else:
                batch.refused.append((each, KeyReused()))
        for name, found in missing.of(stored).items():
            try:
                stream, refold = working.read(name, *found)
                events = []
                if refold:
                    asked_of = (name, stream.stored)
                    cursor = await wire.connection.execute(EVENTS, asked_of, binary=True)
                    events = await cursor.fetchall()
                working.take_in(stream, refold, events)
            except (psycopg.Error, MovedOn):
                raise
            except Exception as defect:  # this stream cannot be read: the others can
                raise _Defect(next(each for each in waiting if name in each.names)) from defect
        return [each for index, each in enumerate(waiting) if index not in answered]

    def _encoded(self, batch: _Batch, now: datetime) -> bytes:
        """The batch as it is appended: encoded now, for the next one changes its states."""
        working, decided = batch.working, batch.decided.values()
        read = working.only_read((done.waiting.command, done.waiting.names) for done in decided)
        written = list(snapshots_of(working))
        whole = Batch(
            now,
            lanes={snapshot.lane: 0 for snapshot in written} | working.lanes,
            reads=[Read(stream.name, lane, stream.stored) for stream, lane in read],
            snapshots=written,
            parts=list(parts_of(working)),
            events=[event for done in decided for event in done.events],
            answers=[done.answer for done in decided],
            sealed=batch.keys.sealed(done.told for done in decided if done.told is not None),
        )
        return whole.encoded().value

    async def _append(self, wire: Wire, batch: _Batch) -> dict[int, int]:
        """Write the batch. Returns the position of each lane before it."""
        for done in batch.decided.values():
            done.waiting.sent = True
        try:
            rows = await wire.ask(_APPEND, (batch.encoded,))
        except psycopg.Error as failure:
            if failure.sqlstate in _UNWRITTEN:
                for done in batch.decided.values():
                    done.waiting.sent = False
            raise
        lanes = ([rows.get_value(n, 0), rows.get_value(n, 1)] for n in range(rows.ntuples))
        return {_number(_INT2, lane): _number(_INT8, position) for lane, position in lanes}


def _number(unpack: Callable[[Buffer], tuple[Any, ...]], said: Buffer | None) -> int:
    return int(unpack(said or b"")[0])
