"""The schemas of this room: live ones, and those beside them that come and go.

Answers and typed events stand in a pair of schemas. With the answers stands `checkpoint`:
how far each projection and each typed table has come in each lane, and by which version. All of a
pair stand at one position; where versions are other ones, just those are made anew.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from ledger.locks import Lock
from projections.engine import event_tables as typed
from projections.engine.catalogue import PROJECTIONS
from projections.engine.connection import Conn, together
from projections.engine.event_tables import TypedTable, typed_tables
from projections.engine.projection import Projection

HOME = ("ledger",)
"""Where a connection looks when nothing else is said: not in `public`, where others may make things
that would be run as ours."""

_CHECKPOINT = """
    CREATE TABLE {schema}.checkpoint (
        projection text NOT NULL,
        bucket smallint NOT NULL,
        position bigint NOT NULL,
        version text NOT NULL,
        PRIMARY KEY (projection, bucket)
    ) WITH (fillfactor = 50)
"""
STANDSTILL = """
    CREATE TABLE IF NOT EXISTS {schema}.standstill (
        bucket smallint PRIMARY KEY,
        position bigint NOT NULL,
        topic text NOT NULL
    )
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


@dataclass(frozen=True, slots=True)
class Extent:
    """What is made anew: typed tables by topic, and projections by name. The rest is kept."""

    topics: frozenset[str]
    projections: frozenset[str]

    @property
    def tables(self) -> list[TypedTable]:
        return [table for topic, table in typed_tables().items() if topic in self.topics]

    @property
    def folds(self) -> list[type[Projection]]:
        return [each for name, each in PROJECTIONS.items() if name in self.projections]

    @property
    def versions(self) -> dict[str, str]:
        """By name: what the checkpoints of these say."""
        tables = {table.key: table.digest for table in self.tables}
        return tables | {projection.name: projection.version for projection in self.folds}

    @property
    def size(self) -> int:
        """How many things it is."""
        return len(self.topics) + len(self.projections)

    @property
    def rest(self) -> "Extent":
        """What is kept."""
        return Extent(
            frozenset(typed_tables().keys() - self.topics),
            frozenset(PROJECTIONS.keys() - self.projections),
        )

    @property
    def whole(self) -> bool:
        """Whether nothing is kept."""
        return not self.rest.size


def everything() -> Extent:
    """All there is."""
    return Extent(frozenset(typed_tables()), frozenset(PROJECTIONS))


def versions() -> dict[str, str]:
    """The version of each projection and of each typed table, by name."""
    return everything().versions


def log_ends(conn: Conn) -> dict[int, int]:
    """The position of the last event of each lane. Everything up to it is committed."""
    return dict(
        conn.execute("SELECT bucket, position FROM ledger.log_end ORDER BY bucket").fetchall()
    )


def positions(conn: Conn, schemas: Schemas = LIVE) -> dict[int, int]:
    """How far the answers have come in each lane."""
    return _positions(conn, f"{schemas.answers}.checkpoint")


def held(conn: Conn) -> dict[int, int]:
    """How far the answers have come that the queries of this transaction read."""
    return _positions(conn, "checkpoint")


def version_held(conn: Conn, stream: str) -> int:
    """The version of a stream that the answers hold which this transaction reads; 0: none."""
    found = conn.execute(
        "SELECT coalesce(max(e.originator_version), 0) FROM ledger.stored_events e"
        " JOIN checkpoint c ON c.bucket = e.bucket AND e.notification_id <= c.position"
        " WHERE e.originator_id = %s",
        (stream,),
    ).fetchone()
    return 0 if found is None else int(found[0])


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


def recorded(conn: Conn, schemas: Schemas = LIVE) -> set[tuple[str, int, str]]:
    """(name, lane, version) of all that is there."""
    found = conn.execute(f"SELECT projection, bucket, version FROM {schemas.answers}.checkpoint")
    return set(found.fetchall())


def recording(conn: Conn, extent: Extent) -> set[tuple[str, int, str]]:
    """The same as it will be once this is made by the present texts."""
    lanes = log_ends(conn)
    return {(name, lane, text) for name, text in extent.versions.items() for lane in lanes}


def outdated(conn: Conn) -> bool:
    """Whether the answers were folded by other texts than these, or for other lanes."""
    return recorded(conn) != recording(conn, everything())


def stale(conn: Conn) -> Extent:
    """What of the live answers and typed events was made by other texts, or is not there.

    The version of a projection holds the shapes of its events: so what reads a table that is
    filled anew is folded anew.
    """
    lacking = {name for name, _, _ in recording(conn, everything()) - recorded(conn)}
    return Extent(
        frozenset(topic for topic, table in typed_tables().items() if table.key in lacking),
        frozenset(PROJECTIONS.keys() & lacking),
    )


def forget_gone(conn: Conn) -> None:
    """What no class stands for any more has no version; its tables go with the next swap."""
    conn.execute(
        "DELETE FROM answers.checkpoint WHERE projection <> ALL(%s)", ([*everything().versions],)
    )


def create(
    conn: Conn,
    schemas: Schemas,
    *,
    bare: bool,
    over: Callable[[str], str] | None = None,
    extent: Extent | None = None,
) -> None:
    """Make a pair of schemas with empty tables at position 0; bare: without what queries need.

    `over` tells the condition of a topic: the typed events are then views onto the live ones that
    fulfil it.
    """
    made = extent or everything()
    with conn.transaction():
        typed.create(conn, schemas.typed, over, made.topics)
        conn.execute(f"CREATE SCHEMA {schemas.answers}")
        conn.execute(_CHECKPOINT.format(schema=schemas.answers))
        conn.execute(STANDSTILL.format(schema=schemas.answers))
        with search_path(conn, schemas.answers):
            for projection in made.folds:
                projection.create(conn, bare=bare)
        if not bare:
            for table in made.tables:
                for text in table.indexes(schemas.typed):
                    conn.execute(text)
        for name, bucket, version in recording(conn, made):
            conn.execute(
                f"INSERT INTO {schemas.answers}.checkpoint VALUES (%s, %s, 0, %s)",
                (name, bucket, version),
            )


def keep(conn: Conn, extent: Extent, into: Schemas) -> None:
    """Move this part of the live pair into another one, with its checkpoints.

    Only who reads them outside of a snapshot is waited for.
    """
    for table in extent.tables:
        conn.execute(f"ALTER TABLE {LIVE.typed}.{table.name} SET SCHEMA {into.typed}")
    for projection in extent.folds:
        for name in projection.table_names():
            conn.execute(f"ALTER TABLE {LIVE.answers}.{name} SET SCHEMA {into.answers}")
    conn.execute(
        f"INSERT INTO {into.answers}.checkpoint"
        f" SELECT * FROM {LIVE.answers}.checkpoint WHERE projection = ANY(%s)",
        ([*extent.versions],),
    )


def drop(conn: Conn, *pairs: Schemas) -> None:
    """Drop whole pairs, if they are there."""
    for schemas in pairs:
        conn.execute(f"DROP SCHEMA IF EXISTS {schemas.answers}, {schemas.typed} CASCADE")


@contextmanager
def search_path(conn: Conn, *schemas: str) -> Iterator[None]:
    """Inside, unqualified tables are those of these schemas. Only within a transaction."""
    conn.execute(path_of(*schemas))
    yield
    conn.execute(path_of(*HOME))


def path_of(*schemas: str) -> str:
    """Says where unqualified tables are, to the end of the transaction."""
    return f"SET LOCAL search_path = {', '.join(schemas)}"


def look_at(conn: Conn, schemas: Schemas) -> None:
    """From here to the end of the transaction, queries read these answers and typed events."""
    conn.execute(path_of(schemas.answers, schemas.typed, *HOME))


@contextmanager
def session_lock(conn: Conn, key: Lock) -> Iterator[None]:
    """Waits for an advisory lock of the session. The server frees it if this process dies."""
    conn.execute("SELECT pg_advisory_lock(%s)", (key,))
    try:
        yield
    finally:
        if not conn.closed:
            conn.execute("SELECT pg_advisory_unlock(%s)", (key,))


def try_session_lock(conn: Conn, key: Lock) -> bool:
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
        together(
            conn,
            (
                "SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY",
                f"LOCK TABLE {schemas.answers}.checkpoint IN ACCESS SHARE MODE",
                path_of(schemas.answers, schemas.typed, *HOME),
            ),
        )
        yield
