"""Reads: queries run in threads, on a few connections that are kept."""

import asyncio
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from functools import partial
from queue import Empty, LifoQueue
from select import POLLIN, poll
from typing import Any, TypeAlias, TypeVar

import psycopg
from psycopg import Connection
from psycopg.pq import TransactionStatus

from api.http.server.calls import Call, Calls, Line
from api.runtime.problems import DoorProblem
from ledger.database import connect_as
from projections.engine import runner

T = TypeVar("T")
Snapshot: TypeAlias = Callable[[Connection[Any]], AbstractContextManager[Any]]

MOST_WAITING = 512
"""Questions that wait for their turn in a worker; more are refused."""
WAIT_S = 2.0
"""How long a read waits for the answers to reach a position."""
LOOK_AGAIN_S = 0.02


class Reads:
    """At most `size` questions at once, each on a connection of its own and one state of the log.

    Who is cancelled leaves the queue, or his question is cancelled on the server: its connection
    goes back clean.

    Who waits for a position holds no thread and no connection: all who wait share short looks at
    how far the answers are, beside the questions.
    """

    def __init__(self, dsn: str, size: int, queue: str = "reads") -> None:
        self._dsn = dsn
        self._open = True
        self._idle: LifoQueue[Line] = LifoQueue()
        self._calls = Calls(queue, size, MOST_WAITING)
        self._brief = Calls(queue, 2, MOST_WAITING)
        self._looking = asyncio.Lock()
        self._begun = 0
        self._lanes: dict[int, runner.LaneStatus] = {}

    async def __call__(
        self,
        question: Callable[[Connection[Any]], T],
        wait_for: tuple[int, int] | None = None,
    ) -> T:
        """Ask. With `wait_for` (bucket, position), not before the answers hold that position."""
        await self.reach(wait_for)
        return await self.within(runner.snapshot, question)

    async def within(self, snapshot: Snapshot, question: Callable[[Connection[Any]], T]) -> T:
        """Ask on one state of the answers, however many queries it takes."""
        return await self._calls(partial(self._ask, question, snapshot))

    async def briefly(self, question: Callable[[Connection[Any]], T]) -> T:
        """Ask what takes no time, beside the questions that take theirs, of tables that no swap
        of the answers locks."""
        return await self._brief(partial(self._ask, question, nullcontext))

    async def reach(self, wait_for: tuple[int, int] | None) -> None:
        """Wait until the answers hold this (bucket, position), if the log holds it already."""
        if wait_for is None:
            return
        bucket, position = wait_for
        clock = asyncio.get_running_loop()
        until = clock.time() + WAIT_S
        while True:
            lane = (await self._look()).get(bucket)
            if lane is None:
                raise DoorProblem("not_caught_up", f"There is no bucket {bucket}.")
            if lane.position >= position:
                return
            if lane.log_end < position:
                said = f"The log of bucket {bucket} ends at position {lane.log_end} as yet."
                raise DoorProblem("not_caught_up", said, {"log_end": lane.log_end})
            if clock.time() >= until:
                raise DoorProblem("not_caught_up", more={"position": lane.position})
            await asyncio.sleep(LOOK_AGAIN_S)

    async def log_ends(self) -> dict[int, int]:
        """The last position of every bucket, by a look that is shared by all who ask meanwhile."""
        return {bucket: lane.log_end for bucket, lane in (await self._look()).items()}

    async def _look(self) -> dict[int, runner.LaneStatus]:
        """Where log and answers stand, by a look that began after this was called: one look at a
        time, whose findings are those of all who came while the one before was under way."""
        known = self._begun
        async with self._looking:
            if self._begun <= known:
                self._begun += 1
                try:
                    lanes = await self.briefly(runner.status)
                except BaseException:
                    self._begun -= 1  # It found nothing for anybody.
                    raise
                self._lanes = {lane.bucket: lane for lane in lanes}
        return self._lanes

    def _ask(self, question: Callable[[Connection[Any]], T], snapshot: Snapshot, call: Call) -> T:
        line = self._line()
        try:
            with call.on(line), snapshot(line):
                return question(line)
        finally:
            if self._open and line.info.transaction_status == TransactionStatus.IDLE:
                self._idle.put(line)
            else:
                line.close()  # Whatever befell it: the next read gets a fresh one.

    def _line(self) -> Line:
        """One that still answers: the database may have been restarted since the last read."""
        while True:
            try:
                line = self._idle.get_nowait()
            except Empty:
                return connect_as(Line, self._dsn)
            try:
                if _spoken_to(line):  # Of its end, if not of something that can wait.
                    line.execute("SELECT 1")
            except psycopg.Error:
                line.close()
            else:
                return line

    def close(self) -> None:
        """Close what is kept, and later what is still asked on."""
        self._open = False
        while True:
            try:
                self._idle.get_nowait().close()
            except Empty:
                return


def _spoken_to(connection: Connection[Any]) -> bool:
    """Whether the server has sent something unasked since the last answer."""
    waiting = poll()
    waiting.register(connection.fileno(), POLLIN)
    return bool(waiting.poll(0))
