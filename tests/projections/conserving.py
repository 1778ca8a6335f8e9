"""The law that no point is lost and none comes from nowhere, told of the stored answers."""

from typing import Any

from domain.kernel.postings import ACCOUNTS
from projections.engine.connection import Conn
from projections.engine.postings import BALANCE, CHANGE, rows


def together(conn: Conn) -> int:
    """The balance of the whole programme."""
    (found,) = conn.execute(f"SELECT sum({BALANCE})::bigint FROM account").fetchone() or (0,)
    return int(found or 0)


def unbalanced(conn: Conn) -> list[tuple[Any, ...]]:
    """Whose account, lots and events disagree: his balance by each of them, and the points of his
    lots that are nowhere (negative: from nowhere)."""
    return conn.execute(
        f"""
        SELECT member_id, coalesce(a.balance, 0), coalesce(l.remaining, 0), coalesce(e.points, 0),
            coalesce(l.nowhere, 0)
        FROM (SELECT member_id, {BALANCE} AS balance FROM account) a
        FULL JOIN (
            SELECT member_id, sum({BALANCE})::bigint AS remaining,
                -sum({" + ".join(ACCOUNTS)})::bigint AS nowhere
            FROM lot GROUP BY 1
        ) l USING (member_id)
        FULL JOIN (
            SELECT member_id, sum({CHANGE})::bigint AS points FROM {rows()} m GROUP BY 1
        ) e USING (member_id)
        WHERE a.balance IS DISTINCT FROM l.remaining OR a.balance IS DISTINCT FROM e.points
            OR l.nowhere <> 0
        ORDER BY member_id
        """
    ).fetchall()
