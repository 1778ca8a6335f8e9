"""A connection for the few questions that are asked for ever: prepared, binary, without cursors.

A batch asks two questions. Through psycopg's cursors each costs as much Python as deciding several
commands. All else (opening, transactions, errors, whatever is seldom) is psycopg's.
"""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from psycopg import AsyncConnection
from psycopg.errors import error_from_result
from psycopg.pq import ExecStatus
from psycopg.pq.abc import PGresult

_BINARY = 1
_PLAN_AGAIN = frozenset(4**power for power in range(1, 12))
"""After so many questions they are planned anew: a plan made for empty tables reads all of them,
and nothing else would tell a connection that they have grown until they are next analyzed."""
_FINE = (ExecStatus.COMMAND_OK, ExecStatus.TUPLES_OK)


@dataclass(frozen=True, slots=True)
class Question:
    """A statement with parameters $1, $2, ..., under the name by which it is prepared."""

    name: bytes
    text: bytes


class Wire:
    """A psycopg connection in autocommit, and which questions it knows. One asker at a time."""

    def __init__(self, connection: AsyncConnection[Any]) -> None:
        self.connection = connection
        self._prepared: set[bytes] = set()
        self._asked = 0

    async def ask(self, question: Question, parameters: Sequence[bytes]) -> PGresult:
        """The result, in binary. Raises as psycopg does; who is cancelled must close it."""
        sends = self.connection.pgconn
        self._asked += 1
        if self._asked in _PLAN_AGAIN:
            await self.connection.execute("DISCARD PLANS")
        if question.name not in self._prepared:
            sends.send_prepare(question.name, question.text)
            await self._answer()
            self._prepared.add(question.name)
        formats = [_BINARY] * len(parameters)
        sends.send_query_prepared(question.name, parameters, formats, _BINARY)
        return await self._answer()

    async def _answer(self) -> PGresult:
        """Send what is to be sent, and wait for the whole answer.

        The loop watches the socket only while we wait. libpq closes a socket that is broken, and
        its number is the next one's; and uvloop tells of an error once and never again, though
        what the server said before it died is to be read first, and then that it died.
        """
        pgconn = self.connection.pgconn
        results: list[PGresult] = []
        unsent = bool(pgconn.flush())
        while True:
            while not pgconn.is_busy():
                result = pgconn.get_result()
                if result is None:
                    return _last(results)
                results.append(result)
            await _stirred(pgconn.socket, unsent)
            pgconn.consume_input()
            unsent = unsent and bool(pgconn.flush())


async def _stirred(socket: int, unsent: bool) -> None:
    """Wait until there is something to read, or room for what is unsent."""
    loop = asyncio.get_running_loop()
    told: asyncio.Future[None] = loop.create_future()

    def stirs() -> None:
        if not told.done():
            told.set_result(None)

    loop.add_reader(socket, stirs)
    try:
        if unsent:
            loop.add_writer(socket, stirs)
        await told
    finally:
        loop.remove_reader(socket)
        if unsent:
            loop.remove_writer(socket)


def _last(results: list[PGresult]) -> PGresult:
    for result in results:
        if result.status not in _FINE:
            raise error_from_result(result)
    return results[-1]
