"""The PostgreSQL of the test session, and an empty database for whoever asks."""

import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, LiteralString

import psycopg
from psycopg import sql
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from ledger.database import connect, install, keep_time, meta
from ledger.embedded import EmbeddedServer
from projections.engine.runner import prepare
from tests.places import in_memory, place

KEY = "7e" * 32
"""Encrypts the keys of persons in ledgers that a test makes in a database."""
# Nobody needs the data of a test after the machine has crashed.
CHEAP = {"fsync": "off", "full_page_writes": "off", "shared_buffers": "128MB"}
BUCKETS = (1, 4)
"""With how many buckets the tests run."""


@contextmanager
def server() -> Iterator[str]:
    """One server in a directory of its own; yields the connection string of its database."""
    with place(in_memory()) as directory, EmbeddedServer(directory / "data", CHEAP) as embedded:
        yield embedded.dsn


@contextmanager
def fresh_database(dsn: str) -> Iterator[str]:
    """An empty database of its own on that server, dropped afterwards whoever still uses it."""
    name = f"test_{uuid.uuid4().hex}"
    with psycopg.connect(dsn, autocommit=True) as connection:
        connection.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name)))
    try:
        yield make_conninfo(dsn, dbname=name)
    finally:
        with psycopg.connect(dsn, autocommit=True) as connection:
            connection.execute(
                sql.SQL("DROP DATABASE {} WITH (FORCE)").format(sql.Identifier(name))
            )


class Databases:
    """Databases to lend: empty ones, and ledgers with empty answers.

    An empty one that comes back is emptied, which is quicker than a new one. A ledger is a copy of
    one that was made once, which takes a tenth of what it takes to make one.
    """

    def __init__(self, dsn: str) -> None:
        self._dsn = dsn
        self._free: list[str] = []
        self._made: dict[tuple[int, str | None], tuple[str, dict[str, str]]] = {
            (buckets, None): self._ledger(buckets, None) for buckets in BUCKETS
        }

    @contextmanager
    def lent(self) -> Iterator[str]:
        """An empty database, for as long as the caller needs it."""
        dsn = self._free.pop() if self._free else self._new()
        try:
            yield dsn
        finally:
            _empty(dsn)
            self._free.append(dsn)

    @contextmanager
    def ledger(self, buckets: int, zone: str | None) -> Iterator[str]:
        """A ledger with so many buckets; the process keeps its time from now on."""
        if (buckets, zone) not in self._made:
            self._made[buckets, zone] = self._ledger(buckets, zone)
        original, known = self._made[buckets, zone]
        dsn = self._new(original)
        keep_time(known)
        try:
            yield dsn
        finally:
            self._do("DROP DATABASE {} WITH (FORCE)", conninfo_to_dict(dsn)["dbname"])

    def _ledger(self, buckets: int, zone: str | None) -> tuple[str, dict[str, str]]:
        """(name, what is known) of one to copy."""
        dsn = self._new()
        install(dsn, buckets, zone)
        with connect(dsn) as connection:
            prepare(connection)
            return str(conninfo_to_dict(dsn)["dbname"]), meta(connection)

    def _new(self, original: str = "template1") -> str:
        """A database of its own. What is copied file by file goes through no write-ahead log."""
        name = f"test_{uuid.uuid4().hex}"
        self._do("CREATE DATABASE {} TEMPLATE {} STRATEGY FILE_COPY", name, original)
        return make_conninfo(self._dsn, dbname=name)

    def _do(self, statement: LiteralString, *names: Any) -> None:
        with psycopg.connect(self._dsn, autocommit=True) as connection:
            connection.execute(sql.SQL(statement).format(*map(sql.Identifier, names)))


def _empty(dsn: str) -> None:
    """Drop every schema of a database, after everybody else was thrown out of it."""
    with psycopg.connect(dsn, autocommit=True) as connection:
        connection.execute(
            "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity"
            " WHERE datname = current_database() AND pid <> pg_backend_pid()"
        )
        found = connection.execute(
            "SELECT nspname FROM pg_namespace"
            " WHERE nspname <> 'information_schema' AND nspname NOT LIKE 'pg\\_%'"
        ).fetchall()
        for (schema,) in found:
            drop = sql.SQL("DROP SCHEMA {} CASCADE").format(sql.Identifier(schema))
            connection.execute(drop)
        connection.execute("CREATE SCHEMA public")
