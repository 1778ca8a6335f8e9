"""Probing: whether writes go through, by the last batch; by a trial where none came for a while."""

import asyncio
from typing import Any

import psycopg
from psycopg import Connection

from api.http.server.reads import Reads
from api.runtime.problems import DoorProblem
from ledger.trouble import Trouble

FRESH_S = 5.0
"""How long what was last seen of the writes holds."""


class Probe:
    """All who ask meanwhile share one trial: strangers cannot make many."""

    def __init__(self, reads: Reads, trouble: Trouble) -> None:
        self._reads, self._trouble = reads, trouble
        self._one = asyncio.Lock()

    async def __call__(self) -> None:
        """Raises `writes_fail`."""
        trouble = self._trouble
        async with self._one:
            if trouble.known_s is None or trouble.known_s > FRESH_S:
                try:
                    await self._reads.briefly(trial)
                except psycopg.Error as failure:
                    trouble.met(failure)
                    trouble.gave_up()
                else:
                    trouble.well()
        if trouble.failing:
            told = {"cause": trouble.last, "times": sum(trouble.since.values())}
            raise DoorProblem("writes_fail", f"Writes fail: {trouble.last}.", told)


def trial(conn: Connection[Any]) -> None:
    """Takes room of the disk and gives it back, and commits a record that says nothing.

    A full disk may still have room for a record in the file it is in; hence the room.
    """
    with conn.transaction():
        conn.execute("SET LOCAL work_mem = '64kB'")
        conn.execute("SELECT count(*) FROM generate_series(1, 20000)")
        conn.execute("SELECT pg_logical_emit_message(true, 'clubledger', '')")
