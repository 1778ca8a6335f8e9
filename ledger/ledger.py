"""Group commit: every command of every kind is decided and made durable with others at once.

One batcher a process, with one connection. While a batch is in flight, commands queue; then up to
`MAX_BATCH` go together: their keys and heads are read, Python decides them one after the other on
a working set, and one call of a function appends everything and commits.
"""

import asyncio
import contextlib
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Self

import msgspec
import psycopg
from psycopg import AsyncConnection

from domain.command import NO_KEY, Command, Personal
from domain.refusal import Refusal
from ledger import heads
from ledger.database import aconnect, bucket_of
from ledger.working import (
    EVENTS,
    HEADS,
    Entry,
    KeyReused,
    WorkingSet,
    digest_of,
    home_of,
    state_from,
    streams_of,
)

MAX_BATCH = 128
MAX_QUEUE = 4096
MAX_ATTEMPTS = 8
"""How often a batch is tried again when another process was faster or the connection broke."""


@dataclass
class Busy(Refusal):
    """Too many commands are waiting: try again with the same key."""

    code = "busy"
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
class Receipt:
    """What was written: the position of the command's last event (0: none) and its answer."""

    bucket: int
    position: int
    replayed: bool
    body: dict[str, Any]


@dataclass(slots=True)
class _Waiting:
    """A command in the queue and the future that its asker waits on."""

    command: Command
    digest: bytes
    future: asyncio.Future[Receipt]

    def answer(self, receipt: Receipt) -> None:
        if not self.future.done():
            self.future.set_result(receipt)

    def refuse(self, reason: BaseException) -> None:
        if not self.future.done():
            self.future.set_exception(reason)


@dataclass(slots=True)
class _Batch:
    """Commands decided together, and what they will write."""

    working: WorkingSet
    decided: list[tuple[_Waiting, list[Entry], dict[str, Any], bytes]] = field(default_factory=list)
    again: list[tuple[_Waiting, int]] = field(default_factory=list)
    """Commands whose key came earlier in the same batch: they get that one's answer."""


_CONFLICTS = ("CL001", "CL002", "23505")
_COMMANDS = 'SELECT ord, digest, bucket, "position", response FROM load_commands(%b::text[])'
_APPEND = (
    "SELECT bucket, base FROM append_batch(%b::timestamptz, %b::text,"
    " %b::int2[], %b::int8[],"
    " %b::text[], %b::int2[], %b::int8[], %b::int8[], %b::bytea[],"
    " %b::text[], %b::int2[], %b::int8[], %b::int8[], %b::text[], %b::bytea[],"
    " %b::text[], %b::bytea[], %b::int2[], %b::int8[], %b::bytea[],"
    " %b::text[], %b::text[], %b::text[])"
)


class Ledger:
    """The door for commands. `now` is the installation's clock; see `execute`."""

    def __init__(self, dsn: str, *, now: Callable[[], datetime]) -> None:
        self._dsn = dsn
        self._now = now
        self._queue: deque[_Waiting] = deque()
        self._awake = asyncio.Event()
        self._connection: AsyncConnection[Any] | None = None
        self._buckets = 1
        self._digest_key = b""
        self._task: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Self:
        connection = await self._connected()
        rows = await (await connection.execute("SELECT name, value FROM ledger_meta")).fetchall()
        known = dict(rows)
        self._buckets = int(known["buckets"])
        self._digest_key = bytes.fromhex(known["digest_key"])
        self._task = asyncio.create_task(self._run(), name="batcher")
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._task is not None:
            self._task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._task
        for waiting in self._queue:
            waiting.refuse(Unanswered(retry_after_s=1))
        if self._connection is not None:
            await self._connection.close()

    async def execute(self, command: Command) -> Receipt:
        """Decide a command and make it durable, exactly once for its key.

        Raises the rule's refusal; `key_reused` if the key stands for another command; `busy` if
        too many wait; `unanswered` if the database is away. Whoever is cancelled while waiting
        does not know whether it happened: ask again with the same key.
        """
        if len(self._queue) >= MAX_QUEUE:
            raise Busy(waiting=len(self._queue), retry_after_s=1)
        if command.key == NO_KEY:
            raise ValueError("a command needs a key of its own")
        future: asyncio.Future[Receipt] = asyncio.get_running_loop().create_future()
        self._queue.append(_Waiting(command, self._digest(command), future))
        self._awake.set()
        return await future

    def _digest(self, command: Command) -> bytes:
        return digest_of(command, self._digest_key)

    async def _run(self) -> None:
        while True:
            while not self._queue:
                self._awake.clear()
                await self._awake.wait()
            count = min(MAX_BATCH, len(self._queue))
            batch = [self._queue.popleft() for _ in range(count)]
            try:
                await self._commit(batch)
            except asyncio.CancelledError:
                for waiting in batch:
                    waiting.refuse(Unanswered(retry_after_s=1))
                raise
            except Exception as failure:  # noqa: BLE001 - the batcher outlives whatever befalls it
                for waiting in batch:
                    waiting.refuse(failure)

    async def _connected(self) -> AsyncConnection[Any]:
        if self._connection is None or self._connection.closed:
            self._connection = await aconnect(self._dsn)
        return self._connection

    async def _commit(self, waiting: list[_Waiting]) -> None:
        """Try a batch until it is answered: optimistically, then with the lanes in hand."""
        waiting = [each for each in waiting if not each.future.cancelled()]
        for attempt in range(MAX_ATTEMPTS):
            try:
                connection = await self._connected()
                if attempt == 0:
                    await self._attempt(connection, waiting)
                else:
                    async with connection.transaction():
                        lanes = list(range(self._buckets))
                        await connection.execute("SELECT take_lanes(%b::int2[])", (lanes,))
                        answers = await self._attempt(connection, waiting, answer=False)
                    for answer in answers:
                        answer()
                return
            except psycopg.Error as failure:
                if failure.sqlstate in _CONFLICTS:
                    continue
                if not isinstance(failure, (psycopg.OperationalError, psycopg.InterfaceError)):
                    raise
                await self._disconnect()
                await asyncio.sleep(min(0.05 * 2**attempt, 1.0))
        for each in waiting:
            each.refuse(Unanswered(retry_after_s=1))

    async def _disconnect(self) -> None:
        if self._connection is not None:
            with contextlib.suppress(psycopg.Error):
                await self._connection.close()
        self._connection = None

    async def _attempt(
        self, connection: AsyncConnection[Any], waiting: list[_Waiting], answer: bool = True
    ) -> list[Callable[[], None]]:
        """Load, decide and append once. Returns the answers; gives them if `answer`."""
        now = self._now()
        fresh, answers = await self._replay(connection, waiting)
        batch = await self._decide(connection, fresh, now, answers)
        if batch.decided:
            bases = await self._append(connection, batch, now)
            answers += _receipts(batch, bases)
        if answer:
            for each in answers:
                each()
        return answers

    async def _replay(
        self, connection: AsyncConnection[Any], waiting: list[_Waiting]
    ) -> tuple[list[_Waiting], list[Callable[[], None]]]:
        """(commands never answered, answers to those whose key is known)."""
        cursor = connection.cursor(binary=True)
        await cursor.execute(_COMMANDS, ([each.command.key for each in waiting],))
        known = {row[0] - 1: row[1:] for row in await cursor.fetchall()}
        answers: list[Callable[[], None]] = []
        for index, (digest, bucket, position, response) in known.items():
            each = waiting[index]
            if digest == each.digest:
                body = msgspec.json.decode(response)
                answers.append(_answer(each, Receipt(bucket, position, True, body)))
            else:
                answers.append(_refusal(each, KeyReused()))
        return [each for index, each in enumerate(waiting) if index not in known], answers

    async def _decide(
        self,
        connection: AsyncConnection[Any],
        waiting: list[_Waiting],
        now: datetime,
        answers: list[Callable[[], None]],
    ) -> _Batch:
        """Decide each command on the heads as they are now and as the batch changes them."""
        while True:
            batch = _Batch(WorkingSet(self._buckets))
            await self._load(
                connection, batch.working, [s for w in waiting for s in streams_of(w.command)]
            )
            refused: list[Callable[[], None]] = []
            keys: dict[str, int] = {}
            broken = None
            for each in waiting:
                first = keys.get(each.command.key)
                if first is not None:
                    if batch.decided[first][0].digest == each.digest:
                        batch.again.append((each, first))
                    else:
                        refused.append(_refusal(each, KeyReused()))
                    continue
                at = each.command.at or now
                try:
                    entries, body = batch.working.decide(each.command, at, now)
                    response = msgspec.json.encode(body)
                except Refusal as refusal:
                    refused.append(_refusal(each, refusal))
                except Exception as defect:  # noqa: BLE001 - its half-applied state must go
                    broken = each
                    failed = CommandFailed(
                        f"{type(each.command).__name__}: {type(defect).__name__}"
                    )
                    failed.__cause__ = defect
                    each.refuse(failed)
                    break
                else:
                    keys[each.command.key] = len(batch.decided)
                    batch.decided.append((each, entries, body, response))
            if broken is None:
                answers += refused
                return batch
            waiting = [each for each in waiting if each is not broken]

    async def _load(
        self, connection: AsyncConnection[Any], working: WorkingSet, names: list[str]
    ) -> None:
        """Take the heads of these streams into the working set."""
        missing = working.missing(names)
        cursor = connection.cursor(binary=True)
        await cursor.execute(HEADS, (missing,))
        found = {row[0] - 1: row[1:] for row in await cursor.fetchall()}
        for index, name in enumerate(missing):
            if index not in found:
                working.put(name, 0, heads.fresh(name))
                continue
            version, fold, stored = found[index]
            state = state_from(name, fold, stored)
            if state is None:
                await cursor.execute(EVENTS, (name, version))
                state = heads.refold(name, await cursor.fetchall())
            working.put(name, version, state)

    async def _append(
        self, connection: AsyncConnection[Any], batch: _Batch, now: datetime
    ) -> dict[int, int]:
        """Write the batch. Returns the position of each lane before it."""
        working = batch.working
        changed = working.changed()
        entries = [entry for _, made, _, _ in batch.decided for entry in made]
        commands = [
            (
                each.command.key,
                each.digest,
                _home(each.command, made, self._buckets),
                made[-1].offset if made else 0,
                response,
            )
            for each, made, _, response in batch.decided
        ]
        persons: dict[str, Personal] = {}
        for each, _, _, _ in batch.decided:
            person = each.command.personal()
            if person is not None:
                persons[person.member_id] = person
        cursor = connection.cursor(binary=True)
        await cursor.execute(
            _APPEND,
            (
                now,
                heads.fold_version(),
                list(working.lanes),
                list(working.lanes.values()),
                [stream.name for stream in changed],
                [stream.bucket for stream in changed],
                [stream.stored for stream in changed],
                [stream.version for stream in changed],
                [heads.encode(stream.state) for stream in changed],
                [entry.stream.name for entry in entries],
                [entry.stream.bucket for entry in entries],
                [entry.version for entry in entries],
                [entry.offset for entry in entries],
                [entry.event.topic for entry in entries],
                [heads.bytes_of(entry.event) for entry in entries],
                *[list(column) for column in zip(*commands, strict=True)],
                list(persons),
                [person.name for person in persons.values()],
                [person.phone for person in persons.values()],
            ),
        )
        return dict(await cursor.fetchall())


def _home(command: Command, made: list[Entry], buckets: int) -> int:
    """The lane in which a command's position counts: that of its last event."""
    return made[-1].stream.bucket if made else bucket_of(home_of(command), buckets)


def _answer(each: _Waiting, receipt: Receipt) -> Callable[[], None]:
    return lambda: each.answer(receipt)


def _refusal(each: _Waiting, refusal: Refusal) -> Callable[[], None]:
    return lambda: each.refuse(refusal)


def _receipts(batch: _Batch, bases: dict[int, int]) -> list[Callable[[], None]]:
    """The answers to commands that were written just now."""
    receipts = []
    answers = []
    for each, made, body, _ in batch.decided:
        bucket = made[-1].stream.bucket if made else 0
        position = bases[bucket] + made[-1].offset if made else 0
        receipts.append(Receipt(bucket, position, False, body))
        answers.append(_answer(each, receipts[-1]))
    for each, first in batch.again:
        origin = receipts[first]
        again = Receipt(origin.bucket, origin.position, True, origin.body)
        answers.append(_answer(each, again))
    return answers
