"""The advisory locks of a ledger's database: one list, so that no two are the same lock."""

from enum import IntEnum, unique
from typing import Any

from psycopg import Connection


@unique
class Lock(IntEnum):
    """Who holds a lock, and its number in PostgreSQL."""

    MIGRATOR = 0x636C7562
    """Whoever brings the tables of the log up to date."""
    RUNNER = 0x636C0001
    """Whoever folds into the live answers."""
    BUILDER = 0x636C0002
    """Whoever builds answers beside them; shared by those who suppose something meanwhile."""
    SUPPOSING = 0x636C0003
    """Whoever supposes something alone."""
    LOADING = 0x636C0004
    """Whoever loads the demo: a second load waits, and finds it loaded."""
    ROTATING = 0x636C0006
    """Whoever lets another key-encryption key take over."""
    SERVING = 0x636C0005
    """Shared by all who serve a demo; alone whoever sets its clock before he serves it."""
    TELLING = 0x636C0007
    """Whoever tells webhooks of events."""
    LEADING = 0x636C0008
    """Whoever begins jobs: one of those who serve the ledger."""
    WORKING = 0x636C0009
    """Whoever carries a job out: another waits until he has gone."""


def held(connection: Connection[Any], lock: Lock) -> bool:
    """Whether anybody has this one."""
    found = connection.execute(
        "SELECT count(*) FROM pg_locks JOIN pg_database d ON d.oid = database"
        " WHERE locktype = 'advisory' AND granted AND datname = current_database()"
        " AND (classid::bigint << 32) + objid::bigint = %s",
        (lock,),
    ).fetchone()
    return found != (0,)
