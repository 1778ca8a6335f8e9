"""Reads: queries run in threads, on a few connections that are kept."""

from collections.abc import Callable
from queue import Empty, LifoQueue
from typing import Any, TypeVar

import anyio
import psycopg
from anyio import to_thread
from psycopg import Connection

from api.problems import DoorProblem
from ledger.database import connect
from projections import runner

T = TypeVar("T")

WAIT_S = 2.0
"""How long a read waits for the answers to reach a position."""


class Reads:
    """At most `size` queries at once, each on a connection of its own and one state of the log."""

    def __init__(self, dsn: str, size: int) -> None:
        self._dsn = dsn
        self._idle: LifoQueue[Connection[Any]] = LifoQueue()
        self._limit = anyio.CapacityLimiter(size)

    async def __call__(
        self,
        question: Callable[[Connection[Any]], T],
        wait_for: tuple[int, int] | None = None,
    ) -> T:
        """Ask. With `wait_for` (bucket, position), not before the answers hold that position."""
        return await to_thread.run_sync(self._ask, question, wait_for, limiter=self._limit)

    def _ask(self, question: Callable[[Connection[Any]], T], wait_for: tuple[int, int] | None) -> T:
        connection = self._connection()
        try:
            if wait_for is not None and not runner.wait_for(connection, *wait_for, WAIT_S):
                raise DoorProblem(
                    "not_caught_up", more={"bucket": wait_for[0], "position": wait_for[1]}
                )
            with runner.snapshot(connection):
                answer = question(connection)
        except psycopg.Error:
            connection.close()  # Whatever befell it: the next read gets a fresh one.
            raise
        except BaseException:
            self._idle.put(connection)
            raise
        self._idle.put(connection)
        return answer

    def _connection(self) -> Connection[Any]:
        """One that still answers: the database may have been restarted since the last read."""
        while True:
            try:
                connection = self._idle.get_nowait()
            except Empty:
                return connect(self._dsn)
            try:
                connection.execute("SELECT 1")
            except psycopg.Error:
                connection.close()
            else:
                return connection

    def close(self) -> None:
        """Close what is kept."""
        while True:
            try:
                self._idle.get_nowait().close()
            except Empty:
                return
