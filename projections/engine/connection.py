"""The connections of this room: plain psycopg ones, in autocommit, as `ledger.database` opens them.

Texts put together here come from the classes of the catalogue and of the projections, and from
whole numbers; what a caller gives is always a parameter.
"""

from collections.abc import Sequence
from typing import Any

from psycopg import Connection

Conn = Connection[Any]


def together(conn: Conn, texts: Sequence[str]) -> None:
    """Execute texts without parameters one after the other, in one round trip.

    A follower's thread that comes back from the database must wait for the interpreter, which
    answers requests meanwhile: the fewer times, the better for both.
    """
    if texts:
        conn.execute("\n;\n".join(texts), prepare=False)
