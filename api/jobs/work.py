"""A job being carried out: what it may ask of, what it brings and makes, and whether it goes on.

While it is at work a thread tells every moment how far it is, asks whether it is to be cancelled,
and looks whether who started it still may what he might when it began. What is found stops it at
its next step; a statement that goes on longer than that is cancelled on the server.
"""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cached_property
from typing import Any, BinaryIO

import psycopg
from psycopg.conninfo import make_conninfo

from api.runtime.clock import Clock
from api.runtime.rights import ANYBODY
from domain.access import Principal
from ledger import credentials, jobs, sessions
from ledger.database import connect, keep_time, meta
from ledger.jobs import Job

LOOK_S = 0.3
"""How often it tells how far it is."""
CANCEL_S = 3.0
"""How long after that a statement under way may go on."""


class Stopped(Exception):
    """(code): it goes no further. `cancelled`, `not_allowed`, or `taken_over` by another."""


def principal_of(conn: jobs.Conn, owner: str, clock: Clock) -> Principal | None:
    """Who started a job, with what he may now; None if he may nothing any more."""
    if not owner:
        return None if credentials.claimed(conn) else ANYBODY
    mark, _, key_id = owner.partition("_")
    if key_id:
        known = credentials.api_keys(conn, [key_id], clock.now()).get(key_id)
        return None if known is None or not known.hashes else known.principal
    return sessions.principals(conn, [mark]).get(mark)


class Work:
    """One attempt at a job. `conn` is for what it looks up; what it does it does on connections of
    its own, to `dsn`."""

    def __init__(self, dsn: str, job: Job, conn: jobs.Conn) -> None:
        self.job, self.conn = job, conn
        self.name = f"clubledger job {job.job_id}"
        self.dsn = make_conninfo(dsn, application_name=self.name)
        known = meta(conn)
        keep_time(known)
        self.meta, self.clock = known, Clock.of(known)
        who = principal_of(conn, job.owner, self.clock)
        if who is None:
            raise Stopped("not_allowed")
        self.who = who
        self._stage, self._done, self._total = "", 0, 0
        self._why: str | None = None
        self._over = threading.Event()

    # ------------------------------------------------------------------------------ how far it is
    def step(self, stage: str, done: int = 0, total: int = 0) -> None:
        """It is so far. Raises Stopped, where it goes no further."""
        self._stage, self._done, self._total = stage, done, total
        self.go_on()

    def advance(self, by: int) -> None:
        """So much more of the step is done."""
        self.step(self._stage, self._done + by, self._total)

    def again(self) -> None:
        """The step begins anew."""
        self._done = 0

    def go_on(self) -> None:
        """Raises Stopped, where it goes no further."""
        if self._why is not None:
            raise Stopped(self._why)

    def require_rights(self) -> None:
        """The same, by what is so at this moment: asked before anything is written."""
        self._look(self.conn)
        self.go_on()

    @property
    def so_far(self) -> dict[str, Any]:
        """How far it came."""
        return {"stage": self._stage, "done": self._done, "total": self._total}

    # --------------------------------------------------------------------------------- its files
    @cached_property
    def files(self) -> list[str]:
        """The ids of the files that it takes."""
        return jobs.taken(self.conn, self.job.job_id)

    def content(self, number: int) -> jobs.Reader:
        """One of them, to be read."""
        return jobs.Reader(jobs.content(self.conn, self.files[number]))

    def begin_files(self) -> None:
        """What an attempt before has made is made anew."""
        jobs.begin_files(self.conn, self.job)

    def make_file(self, name: str, media_type: str, source: BinaryIO) -> None:
        """Keep a file for who started it, from its beginning."""
        source.seek(0)
        jobs.make_file(self.conn, self.job, name, media_type, source)

    def stream_file(self, name: str, media_type: str, blocks: Iterator[bytes]) -> None:
        """The same of one that is made while it is kept."""
        jobs.make_file(self.conn, self.job, name, media_type, jobs.Reader(blocks))

    # ------------------------------------------------------------------------------ beside it all
    @contextmanager
    def watched(self, dsn: str) -> Iterator[None]:
        """Within, it is told how far it is, and looked whether it goes on."""
        thread = threading.Thread(target=self._watch, args=(dsn,), name="watch", daemon=True)
        thread.start()
        try:
            yield
        finally:
            self._over.set()
            thread.join()

    def _watch(self, dsn: str) -> None:
        try:
            with connect(dsn) as conn:
                while not self._over.wait(LOOK_S):
                    self._look(conn)
                    if self._why is not None:
                        break
                while not self._over.wait(CANCEL_S):
                    conn.execute(
                        "SELECT pg_cancel_backend(pid) FROM pg_stat_activity"
                        " WHERE application_name = %s AND datname = current_database()",
                        (self.name,),
                    )
        except psycopg.Error:
            self._why = self._why or "taken_over"  # Whoever leads has lost us, too.

    def _look(self, conn: jobs.Conn) -> None:
        off = jobs.progress(conn, self.job, self._stage, self._done, self._total)
        if off is None:
            self._why = "taken_over"
        elif off:
            self._why = "cancelled"
        elif principal_of(conn, self.job.owner, self.clock) != self.who:
            self._why = "not_allowed"
