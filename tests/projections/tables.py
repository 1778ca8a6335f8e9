"""What the projections' tables hold, beside what plain Python makes of the same events."""

from collections.abc import Callable, Iterable
from typing import Any

from psycopg import Connection
from psycopg.rows import dict_row

from ledger.database import connect
from projections.engine import runner
from projections.engine.catalogue import PROJECTIONS
from projections.engine.event_tables import typed_tables
from projections.engine.reference import ReferenceFold, Stored
from projections.engine.runner import prepare
from projections.engine.schemas import LIVE, Schemas
from tests.projections.histories import World, lay

NAMES = [name for projection in PROJECTIONS.values() for name in projection.table_names()]


def ordered(rows: Iterable[dict[str, Any]]) -> list[list[tuple[str, Any]]]:
    """Rows in an order of their own, whatever the order in which they came."""
    return sorted((sorted(row.items()) for row in rows), key=repr)


def in_sql(conn: Connection[Any], schemas: Schemas = LIVE) -> dict[str, Any]:
    """Every table of the answers."""
    cursor = conn.cursor(row_factory=dict_row)
    conn.execute("SET TimeZone = 'UTC'")
    try:
        return {
            name: ordered(cursor.execute(f"SELECT * FROM {schemas.answers}.{name}").fetchall())
            for name in NAMES
        }
    finally:
        conn.execute("RESET TimeZone")  # folds go by it


def in_python(log: Iterable[Stored], *, gaps: bool = False) -> dict[str, Any]:
    """The same from the events; `gaps`: some of them were left out."""
    plain = ReferenceFold(gaps=gaps).fold(log)
    assert plain.tables.keys() <= set(NAMES)
    return {name: ordered(plain.rows(name)) for name in NAMES}


def emptied(conn: Connection[Any]) -> None:
    """An empty log and answers that know of nothing, without making the tables anew."""
    prepare(conn)
    tables = [f"answers.{name}" for name in NAMES]
    tables += [f"typed.{table.name}" for table in typed_tables().values()]
    conn.execute(f"TRUNCATE ledger.stored_events, ledger.command_log, {', '.join(tables)}")
    conn.execute("UPDATE ledger.log_end SET position = 0")
    conn.execute("UPDATE answers.checkpoint SET position = 0")


def filled(dsn: str, log: Iterable[Stored]) -> str:
    """A ledger with this log, all of which is in its answers."""
    with connect(dsn) as conn:
        lay(conn, log)
    runner.project(dsn)
    return dsn


def answers(installed: Callable[[int], str], world: World, buckets: int = 1) -> Any:
    """A connection to the answers over this world."""
    return looking(connect(filled(installed(buckets), world.log)))


def looking(conn: Connection[Any]) -> Connection[Any]:
    """The same connection, whose queries read the live answers outside of a snapshot too."""
    conn.execute(f"SET search_path = {LIVE.answers}, {LIVE.typed}, ledger, public")
    return conn
