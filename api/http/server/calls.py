"""Calls: work in threads that ends with who asked for it.

A thread cannot be stopped, but what it waits for can: its statement is cancelled on the server,
and it asks no other. Its turn is over when it has ended, not when the asker went.
"""

import asyncio
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from threading import Lock
from typing import Any, TypeVar

import anyio
import psycopg
from anyio import to_thread
from psycopg import Connection, Transaction
from psycopg.errors import QueryCanceled

from api.http.server.turns import Turns

T = TypeVar("T")

AGAIN_S = 0.1
"""How long work that was called off may take to end before it is called off again: a cancel that
comes between two statements is lost."""
CANCEL_S = 5.0
"""How long the server may take to accept a cancel."""


class CalledOff(QueryCanceled):
    """Who asked is gone: nothing more is asked of the database."""


class Line(Connection[Any]):
    """A connection on which another thread may call off what is asked."""

    def __init__(self, *given: Any, **named: Any) -> None:
        super().__init__(*given, **named)
        self._calling = Lock()
        self._off = self._heard = self._at_bound = False

    @contextmanager
    def transaction(self, *given: Any, **named: Any) -> Iterator[Transaction]:
        """As psycopg does. It counts what begins and ends: neither is ever refused, which would
        leave the count wrong for whoever asks here next."""
        try:
            self._at_bound = True
            with super().transaction(*given, **named) as begun:
                self._at_bound = False
                try:
                    yield begun
                finally:
                    self._at_bound = True
        finally:
            self._at_bound = False

    def wait(self, gen: Any, *how: Any, **named: Any) -> Any:
        """As psycopg does; but once it is called off, the next that is asked is refused.

        What comes after that tidies up, and is asked as ever.
        """
        if self._off and not self._heard and not self._at_bound:
            gen.close()
            self._hear()
            raise CalledOff
        try:
            return super().wait(gen, *how, **named)
        except BaseException:
            if self._off:
                self._hear()
            raise

    def _hear(self) -> None:
        with self._calling:  # A cancel that is on its way does not reach what tidies up.
            self._heard = True

    def call_off(self) -> None:
        """Cancel the statement that is under way, or refuse the next one. From any thread."""
        with self._calling:
            self._off = True
            if not self._heard:
                with suppress(psycopg.Error):
                    self.cancel_safe(timeout=CANCEL_S)

    def clear(self) -> None:
        """Whatever is asked from now on is another's."""
        self._off = self._heard = False


class Call:
    """Work under way, and the connection on which it asks."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._line: Line | None = None
        self._off = False

    @contextmanager
    def on(self, line: Line) -> Iterator[None]:
        """What is asked on this connection within is called off with the work."""
        with self._lock:
            if self._off:
                raise CalledOff
            self._line = line
        try:
            yield
        finally:
            with self._lock:  # A cancel that is on its way does not reach the next who asks.
                self._line = None
                line.clear()

    def off(self) -> None:
        """Let it end. May wait for the server."""
        with self._lock:
            self._off = True
            if self._line is not None:
                self._line.call_off()


class Calls:
    """Work of one kind: so much at once, and so much that waits for its turn."""

    def __init__(self, queue: str, size: int, most_waiting: int) -> None:
        self.turns = Turns(queue, size, most_waiting)
        self._threads = anyio.CapacityLimiter(size)
        self._ending: set[asyncio.Task[None]] = set()

    async def __call__(self, work: Callable[[Call], T]) -> T:
        """work(call) in a thread, in its turn; called off if whoever asks is cancelled, who goes
        on when it has ended: what it uses is there until then.

        Raises Busy.
        """
        await self.turns.take()
        call = Call()
        task = asyncio.create_task(self._done(work, call))
        try:
            return await asyncio.shield(task)
        except asyncio.CancelledError:
            ending = asyncio.create_task(_end(task, call))
            self._ending.add(ending)
            ending.add_done_callback(self._ending.discard)
            await asyncio.shield(ending)
            raise

    async def _done(self, work: Callable[[Call], T], call: Call) -> T:
        try:
            return await to_thread.run_sync(work, call, limiter=self._threads)
        finally:
            self.turns.give_back()


async def _end(task: asyncio.Task[Any], call: Call) -> None:
    """Call it off until it has ended; what became of it interests nobody any more."""
    while not task.done():
        await to_thread.run_sync(call.off)
        await asyncio.wait([task], timeout=AGAIN_S)
    task.exception()
