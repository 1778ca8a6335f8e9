"""Starting: a worker waits for a database that is away or recovers."""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import TypeVar

import psycopg

from api.runtime.wiring import first_line

T = TypeVar("T")

log = logging.getLogger("clubledger")

WAIT_S = 60.0
LOOK_AGAIN_S = 0.5


class DatabaseAway(Exception):
    """It did not come in time; the log says so."""


def no_trace_of_it(record: logging.LogRecord) -> bool:
    """A filter: that the database is away, or that a stop gives requests up, is told in a
    sentence, without a traceback."""
    if record.exc_info and isinstance(record.exc_info[1], asyncio.CancelledError):
        return False
    return DatabaseAway.__name__ not in record.getMessage()


async def patiently(opening: Callable[[], Awaitable[T]]) -> T:
    """What this opens, once the database answers; said once. Raises DatabaseAway."""
    clock = asyncio.get_running_loop()
    until, told = clock.time() + WAIT_S, False
    while True:
        try:
            return await opening()
        except (psycopg.OperationalError, psycopg.InterfaceError) as error:
            why = first_line(error)
        if clock.time() >= until:
            log.error("The database has not answered for %d s: %s", WAIT_S, why)
            raise DatabaseAway
        if not told:
            log.warning("Waiting for the database: %s", why)
            told = True
        await asyncio.sleep(LOOK_AGAIN_S)
