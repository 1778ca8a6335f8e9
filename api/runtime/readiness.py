"""Readiness: what keeps a ledger from being asked and written to just now, as a list of reasons.

`/readyz` tells them of a worker that serves, `clubledger doctor` of an installation.
"""

import shutil
from dataclasses import dataclass, field
from typing import Any

from psycopg import Connection, pq
from psycopg.conninfo import make_conninfo

from api.runtime.settings import Settings
from ledger import rotation
from ledger.database import strangers
from ledger.keyring import KEYRING
from projections.engine import runner, succession

REASONS: dict[str, str] = {
    "database_away": "The database does not answer.",
    "recovering": "The database starts, recovers, stops or copies another: it takes no writes.",
    "other_version": "The database's schema or answers are those of another version of clubledger.",
    "key_not_here": "The key with which names and numbers are encrypted is not here.",
    "disk_nearly_full": "The disk of the data directory is nearly full.",
    "writes_fail": "Writes fail: the last one, or a trial, did not go through.",
    "answers_stand_still": "The answers stand still before an event they cannot take.",
    "answers_behind": "The answers lack more events than they may.",
}
"""Every reason that there may be, in the order in which they are told."""
MB = 1 << 20
PATIENCE_S = 2
"""How long a look at whether a server is there waits for it."""


@dataclass(frozen=True)
class Reason:
    """One of `REASONS`, in a sentence and with its numbers."""

    code: str
    detail: str
    numbers: dict[str, Any] = field(default_factory=dict)

    def told(self) -> dict[str, Any]:
        """For a program."""
        return {"code": self.code, "detail": self.detail, **self.numbers}


def of_database(conn: Connection[Any], most_behind: int) -> list[Reason]:
    """What one look at the database finds."""
    found = []
    if conn.execute("SELECT pg_is_in_recovery()").fetchone() == (True,):
        found.append(Reason("recovering", "The database recovers, or copies another one."))
    if others := strangers(conn):
        said = f"The database has not the schema of this version: {', '.join(others)}."
        found.append(Reason("other_version", said, {"migrations": others}))
        return found  # What the tables of another version say is not ours to read.
    if succession.superseded(conn):
        said = "A newer version of clubledger makes the answers: this one stands aside."
        found.append(Reason("other_version", said, {"migrations": []}))
        return found
    if (lacking := rotation.lacking(conn)) is not None:
        said = f"Names and numbers are encrypted with the key {lacking}: {KEYRING.place} lacks it."
        found.append(Reason("key_not_here", said, {"key_id": lacking}))
    for still in runner.standstills(conn):
        said = (
            f"The event at position {still.position} of bucket {still.bucket} ({still.topic})"
            " cannot be taken."
        )
        where = {"bucket": still.bucket, "position": still.position, "topic": still.topic}
        found.append(Reason("answers_stand_still", said, where))
    behind = sum(lane.lag for lane in runner.status(conn))
    if behind > most_behind:
        said = f"The answers lack {behind:,} events; {most_behind:,} may be lacking."
        found.append(Reason("answers_behind", said, {"events": behind, "most": most_behind}))
    return found


def of_absence(dsn: str) -> Reason:
    """Why a database gives no connection. May take a while."""
    ping = make_conninfo(dsn, connect_timeout=PATIENCE_S).encode()
    answer = pq.PGconn.ping(ping)
    if answer == pq.Ping.REJECT:
        return Reason("recovering", "The database is there, and takes nobody in as yet.")
    if answer == pq.Ping.OK:
        said = "The database lets us not in: a password, a right, or too many connections."
        return Reason("database_away", said)
    return Reason("database_away", REASONS["database_away"])


def of_disk(settings: Settings) -> list[Reason]:
    """Whether the data directory has room. Of a database elsewhere nothing is known."""
    if settings.database_url is not None:
        return []
    try:
        free_mb = shutil.disk_usage(settings.data_dir).free // MB
    except OSError:
        return []  # It has gone: there are other words for that.
    if free_mb >= settings.ready_free_mb:
        return []
    wanted_mb = settings.ready_free_mb
    said = f"{free_mb:,} MB are free where the data are; there should be {wanted_mb:,}."
    numbers = {"free_mb": free_mb, "wanted_mb": wanted_mb}
    return [Reason("disk_nearly_full", said, numbers)]
