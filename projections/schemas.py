"""The schemas of this room: live ones, and those beside them that come and go.

Answers and typed events stand in a pair of schemas. With the answers stands `checkpoint`:
how far each projection (or the typed tables) has come in each lane, and by which version.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from hashlib import sha256

from projections import typed
from projections.catalogue import PROJECTIONS
from projections.connection import Conn
from projections.typed import typed_tables

RUNNER = 0x636C0001
"""The advisory lock of whoever folds into the live answers."""
BUILDER = 0x636C0002
"""The advisory lock of whoever builds answers beside them."""

_CHECKPOINT = """
    CREATE TABLE {schema}.checkpoint (
        projection text NOT NULL,
        bucket smallint NOT NULL,
        position bigint NOT NULL,
        version text NOT NULL,
        PRIMARY KEY (projection, bucket)
    ) WITH (fillfactor = 50)
"""


@dataclass(frozen=True, slots=True)
class Schemas:
    """A pair of schemas: the answers, and the typed events they are folded from."""

    answers: str
    typed: str


LIVE = Schemas("answers", typed.SCHEMA)
SHADOW = Schemas("answers_shadow", "typed_shadow")
SCRATCH = Schemas("answers_scratch", "typed_scratch")
OLD = Schemas("answers_old", "typed_old")


def versions() -> dict[str, str]:
    """The version of each projection, and of the typed tables under the name of their schema."""
    # Sorted, since the catalogue's order is that in which a program happened to import it.
    shapes = "\0".join(sorted(table.shape for table in typed_tables().values()))
    found = {name: projection.version for name, projection in PROJECTIONS.items()}
    return {typed.SCHEMA: sha256(shapes.encode()).hexdigest()[:16], **found}


def heads(conn: Conn) -> dict[int, int]:
    """The position of the last event of each lane. Everything up to it is committed."""
    return dict(
        conn.execute("SELECT bucket, position FROM ledger.log_head ORDER BY bucket").fetchall()
    )


def positions(conn: Conn, schemas: Schemas = LIVE) -> dict[int, int]:
    """How far the answers have come in each lane."""
    return _positions(conn, f"{schemas.answers}.checkpoint")


def held(conn: Conn) -> dict[int, int]:
    """How far the answers have come that the queries of this transaction read."""
    return _positions(conn, "checkpoint")


def _positions(conn: Conn, checkpoint: str) -> dict[int, int]:
    return dict(
        conn.execute(
            f"SELECT bucket, min(position) FROM {checkpoint} GROUP BY bucket ORDER BY bucket"
        ).fetchall()
    )


def installed(conn: Conn) -> bool:
    """Whether there are answers, of whatever version."""
    (found,) = conn.execute("SELECT to_regclass('answers.checkpoint') IS NOT NULL").fetchone() or (
        False,
    )
    return bool(found)


def outdated(conn: Conn) -> bool:
    """Whether the answers were folded by other texts than these, or for other lanes."""
    found = conn.execute("SELECT projection, bucket, version FROM answers.checkpoint").fetchall()
    lanes = heads(conn)
    wanted = {(name, lane, text) for name, text in versions().items() for lane in lanes}
    return wanted != set(found)


def create(conn: Conn, schemas: Schemas, *, bare: bool, over: str | None = None) -> None:
    """Make a pair of schemas with empty tables at position 0; bare: without what queries need.

    `over` is a condition: the typed events are then views onto the live ones that fulfil it.
    """
    with conn.transaction():
        typed.create(conn, schemas.typed, over)
        conn.execute(f"CREATE SCHEMA {schemas.answers}")
        conn.execute(_CHECKPOINT.format(schema=schemas.answers))
        with search_path(conn, schemas.answers):
            for projection in PROJECTIONS.values():
                projection.create(conn, bare=bare)
        if not bare:
            for table in typed_tables().values():
                for text in table.indexes(schemas.typed):
                    conn.execute(text)
        for name, version in versions().items():
            for bucket in heads(conn):
                conn.execute(
                    f"INSERT INTO {schemas.answers}.checkpoint VALUES (%s, %s, 0, %s)",
                    (name, bucket, version),
                )


def drop(conn: Conn, *pairs: Schemas) -> None:
    """Drop whole pairs, if they are there."""
    for schemas in pairs:
        conn.execute(f"DROP SCHEMA IF EXISTS {schemas.answers}, {schemas.typed} CASCADE")


@contextmanager
def search_path(conn: Conn, schema: str) -> Iterator[None]:
    """Inside, unqualified tables are those of this schema. Only within a transaction."""
    conn.execute(f"SET LOCAL search_path = {schema}")
    yield
    conn.execute("SET LOCAL search_path = ledger, public")


def look_at(conn: Conn, schemas: Schemas) -> None:
    """From here to the end of the transaction, queries read these answers and typed events."""
    conn.execute(f"SET LOCAL search_path = {schemas.answers}, {schemas.typed}, ledger, public")


@contextmanager
def session_lock(conn: Conn, key: int) -> Iterator[None]:
    """Waits for an advisory lock of the session. The server frees it if this process dies."""
    conn.execute("SELECT pg_advisory_lock(%s)", (key,))
    try:
        yield
    finally:
        if not conn.closed:
            conn.execute("SELECT pg_advisory_unlock(%s)", (key,))


def try_session_lock(conn: Conn, key: int) -> bool:
    """The same without waiting; it is held until the session ends."""
    (taken,) = conn.execute("SELECT pg_try_advisory_lock(%s)", (key,)).fetchone() or (False,)
    return bool(taken)


@contextmanager
def snapshot(conn: Conn, schemas: Schemas = LIVE) -> Iterator[None]:
    """Several queries on one state of the answers, whatever is folded or swapped meanwhile.

    The table lock is taken before the snapshot, which PostgreSQL takes with the first query: so a
    swap comes wholly before it or wholly after it.
    """
    with conn.transaction():
        conn.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY")
        conn.execute(f"LOCK TABLE {schemas.answers}.checkpoint IN ACCESS SHARE MODE")
        look_at(conn, schemas)
        yield
