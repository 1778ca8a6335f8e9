"""Probing: whether requests may be sent here. Whether writes go through is told by the last batch;
by a trial where none came for a while."""

import asyncio
from functools import partial
from typing import Any

import psycopg
from anyio import to_thread
from psycopg import Connection

from api.http.server.reads import Reads
from api.runtime import readiness
from api.runtime.readiness import Reason
from api.runtime.settings import Settings
from ledger.trouble import Trouble

FRESH_S = 5.0
"""How long what was last seen of the writes holds."""


class Probe:
    """All who ask meanwhile share one look: strangers cannot make many."""

    def __init__(self, dsn: str, settings: Settings, reads: Reads, trouble: Trouble) -> None:
        self._dsn, self._settings = dsn, settings
        self._reads, self._trouble = reads, trouble
        self._one = asyncio.Lock()

    async def __call__(self) -> list[Reason]:
        """Why they may not; nothing if they may."""
        most = self._settings.ready_lag_events
        async with self._one:
            found = readiness.of_disk(self._settings)
            try:
                found += await self._reads.briefly(partial(readiness.of_database, most_behind=most))
            except (psycopg.OperationalError, psycopg.InterfaceError):
                found.append(await to_thread.run_sync(readiness.of_absence, self._dsn))
            else:
                found += await self._of_writes()
        order = list(readiness.REASONS)
        return sorted(found, key=lambda reason: order.index(reason.code))

    async def _of_writes(self) -> list[Reason]:
        trouble = self._trouble
        if trouble.known_s is None or trouble.known_s > FRESH_S:
            try:
                await self._reads.briefly(trial)
            except psycopg.Error as failure:
                trouble.met(failure)
                trouble.gave_up()
            else:
                trouble.well()
        if not trouble.failing:
            return []
        told = {"cause": trouble.last, "times": sum(trouble.since.values())}
        return [Reason("writes_fail", f"Writes fail: {trouble.last}.", told)]


def trial(conn: Connection[Any]) -> None:
    """Takes room of the disk and gives it back, and commits a record that says nothing.

    A full disk may still have room for a record in the file it is in; hence the room.
    """
    with conn.transaction():
        conn.execute("SET LOCAL work_mem = '64kB'")
        conn.execute("SELECT count(*) FROM generate_series(1, 20000)")
        conn.execute("SELECT pg_logical_emit_message(true, 'clubledger', '')")
