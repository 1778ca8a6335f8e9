"""The connections of this room: plain psycopg ones, in autocommit, as `ledger.database` opens them.

Texts put together here come from the classes of the catalogue and of the projections, and from
whole numbers; what a caller gives is always a parameter.
"""

from collections.abc import Sequence
from typing import Any, TypeVar

from psycopg import Connection, ServerCursor
from psycopg.rows import RowFactory

Conn = Connection[Any]
R = TypeVar("R")
FETCHED_ROWS = 2_000
"""At a time, of a whole list: enough that the way to the server and back is not felt."""


def streaming(conn: Conn, rows: RowFactory[R]) -> ServerCursor[R]:
    """A cursor for a whole list, fetched as it is read. Only within a transaction, one at a time;
    whoever opens it closes it."""
    conn.execute("SET LOCAL cursor_tuple_fraction = 1")  # all of them are fetched
    cursor = conn.cursor(name="whole_list", row_factory=rows)
    cursor.itersize = FETCHED_ROWS
    return cursor


def together(conn: Conn, texts: Sequence[str]) -> None:
    """Execute texts without parameters one after the other, in one round trip.

    A follower's thread that comes back from the database must wait for the interpreter, which
    answers requests meanwhile: the fewer times, the better for both.
    """
    if texts:
        conn.execute("\n;\n".join(texts), prepare=False)
