"""Where each byte lies: by what it is kept for, and beside it the write-ahead log."""

from dataclasses import dataclass

import psycopg

from projections.engine.connection import Conn

_OF = """
    CASE
        WHEN n.nspname = 'ledger' THEN coalesce(
            '{"stored_events": "log", "command_log": "commands", "file_lines": "commands",
              "snapshots": "snapshots", "snapshot_parts": "snapshots", "persons": "persons",
              "person_keys": "persons"
            }'::json ->> c.relname, 'other')
        WHEN n.nspname = 'typed' THEN 'typed events'
        WHEN n.nspname = 'answers' THEN 'answers'
        WHEN n.nspname LIKE 'asof\\_%' THEN 'answers as of'
        ELSE 'other'
    END
"""
PARTS = (
    "log",
    "commands",
    "snapshots",
    "persons",
    "typed events",
    "answers",
    "answers as of",
    "other",
)
"""What the bytes of a database are kept for; other is its catalogue, what is kept of webhooks, and
what is not ours."""


@dataclass(frozen=True, slots=True)
class Part:
    """What something takes: its rows, and the indexes on them."""

    name: str
    table_bytes: int
    index_bytes: int

    @property
    def bytes(self) -> int:
        return self.table_bytes + self.index_bytes


@dataclass(frozen=True, slots=True)
class Space:
    """What a ledger takes. `facts` are the commands that were taken; the write-ahead log is the
    whole server's, and null where we may not ask for it."""

    facts: int
    events: int
    parts: list[Part]
    wal_bytes: int | None

    @property
    def bytes(self) -> int:
        """All but the write-ahead log."""
        return sum(part.bytes for part in self.parts)


def space(conn: Conn) -> Space:
    """What the ledger takes just now."""
    found = conn.execute(
        f"""
        SELECT {_OF}, sum(pg_table_size(c.oid))::bigint, sum(pg_indexes_size(c.oid))::bigint
        FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
        WHERE c.relkind IN ('r', 'm') GROUP BY 1
        """
    )
    sizes = {name: (table, index) for name, table, index in found}
    (facts, events) = conn.execute(
        "SELECT (SELECT count(*) FROM ledger.command_log WHERE asked <> '')"
        " + (SELECT coalesce(sum(facts), 0)::bigint FROM ledger.file_lines),"
        " (SELECT sum(position)::bigint FROM ledger.log_end)"
    ).fetchone() or (0, 0)
    parts = [Part(name, *sizes.get(name, (0, 0))) for name in PARTS]
    return Space(facts, events, parts, _wal_bytes(conn))


def _wal_bytes(conn: Conn) -> int | None:
    try:
        with conn.transaction():
            found = conn.execute("SELECT sum(size)::bigint FROM pg_ls_waldir()").fetchone()
    except psycopg.errors.InsufficientPrivilege:
        return None
    return None if found is None else found[0]
