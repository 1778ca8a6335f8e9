"""Points: lots and what is left of them, accounts, statements, and whether all of it adds up."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime

from psycopg.rows import class_row

from projections.connection import Conn
from projections.projection import Projection


class Points(Projection):
    """A row a lot, folded from allocations, and a row an account, folded from totals.

    Both are folded from different fields of the same events, so that each checks the other.
    """

    tables = (
        """
        CREATE TABLE lot (
            bucket smallint NOT NULL,
            member_id text NOT NULL,
            lot bigint NOT NULL,
            credited bigint NOT NULL,
            debited bigint NOT NULL DEFAULT 0,
            returned bigint NOT NULL DEFAULT 0,
            expired bigint NOT NULL DEFAULT 0,
            reversed bigint NOT NULL DEFAULT 0,
            remaining bigint NOT NULL GENERATED ALWAYS AS
                (credited - debited + returned - expired - reversed) STORED
                CHECK (remaining >= 0),
            earned_at timestamptz NOT NULL,
            available_from timestamptz NOT NULL,
            expires_at timestamptz,
            source text NOT NULL,
            rule text NOT NULL,
            PRIMARY KEY (member_id, lot, bucket)
        ) WITH (fillfactor = 80)
        """,
        """
        CREATE TABLE account (
            bucket smallint NOT NULL,
            member_id text NOT NULL,
            credited bigint NOT NULL,
            debited bigint NOT NULL,
            returned bigint NOT NULL,
            expired bigint NOT NULL,
            reversed bigint NOT NULL,
            balance bigint NOT NULL GENERATED ALWAYS AS
                (credited - debited + returned - expired - reversed) STORED,
            PRIMARY KEY (member_id, bucket)
        ) WITH (fillfactor = 80)
        """,
    )
    fold = (
        """
        INSERT INTO lot (bucket, member_id, lot, credited, earned_at, available_from, expires_at,
            source, rule)
        SELECT bucket, member_id, lot, points, occurred_at, available_from, expires_at, source, rule
        FROM {points_credited} e
        """,
        """
        UPDATE lot SET debited = lot.debited + m.debited, returned = lot.returned + m.returned,
            expired = lot.expired + m.expired, reversed = lot.reversed + m.reversed
        FROM (
            SELECT bucket, member_id, lot, sum(debited) AS debited, sum(returned) AS returned,
                sum(expired) AS expired, sum(reversed) AS reversed
            FROM (
                SELECT bucket, member_id, u.lot, u.points, 0, 0, 0
                FROM {points_debited} e, json_to_recordset(lots) u(lot bigint, points bigint)
                UNION ALL
                SELECT bucket, member_id, u.lot, 0, u.points, 0, 0
                FROM {points_debit_reversed} e, json_to_recordset(lots) u(lot bigint, points bigint)
                UNION ALL
                SELECT bucket, member_id, lot, 0, 0, points, 0 FROM {points_expired} e
                UNION ALL
                SELECT bucket, member_id, u.lot, 0, 0, 0, u.points
                FROM {points_credit_reversed} e,
                    json_to_recordset(lots) u(lot bigint, points bigint)
            ) moves(bucket, member_id, lot, debited, returned, expired, reversed)
            GROUP BY 1, 2, 3
        ) m
        WHERE lot.member_id = m.member_id AND lot.lot = m.lot AND lot.bucket = m.bucket
        """,
        """
        INSERT INTO account (bucket, member_id, credited, debited, returned, expired, reversed)
        SELECT bucket, member_id, sum(credited), sum(debited), sum(returned), sum(expired),
            sum(reversed)
        FROM (
            SELECT bucket, member_id, points, 0, 0, 0, 0 FROM {points_credited} e
            UNION ALL
            SELECT bucket, member_id, 0, points, 0, 0, 0 FROM {points_debited} e
            UNION ALL
            SELECT bucket, member_id, 0, 0, points, 0, 0 FROM {points_debit_reversed} e
            UNION ALL
            SELECT bucket, member_id, 0, 0, 0, points, 0 FROM {points_expired} e
            UNION ALL
            SELECT bucket, member_id, 0, 0, 0, 0, points FROM {points_credit_reversed} e
        ) moves(bucket, member_id, credited, debited, returned, expired, reversed)
        GROUP BY 1, 2
        ON CONFLICT (member_id, bucket) DO UPDATE
        SET credited = account.credited + excluded.credited,
            debited = account.debited + excluded.debited,
            returned = account.returned + excluded.returned,
            expired = account.expired + excluded.expired,
            reversed = account.reversed + excluded.reversed
        """,
    )


@dataclass(frozen=True, slots=True)
class Account:
    """A member's points: what came in, what went out, and what the balance is made of at a time.

    balance = spendable + pending (not available yet) + lapsed (past their day, not swept yet).
    """

    member_id: str
    credited: int
    debited: int
    returned: int
    expired: int
    reversed: int
    balance: int
    spendable: int
    pending: int
    lapsed: int


@dataclass(frozen=True, slots=True)
class Lot:
    """The points of one credit and where they went."""

    lot: int
    credited: int
    debited: int
    returned: int
    expired: int
    reversed: int
    remaining: int
    earned_at: datetime
    available_from: datetime
    expires_at: datetime | None
    source: str
    rule: str


@dataclass(frozen=True, slots=True)
class Entry:
    """A line of a statement; `balance` is that after it.

    `rule` is what decided it: the rule of the credit (also where it lapses or is reversed), the
    version of the price (also where the debit is reversed). `lots`: which lots, and how many points
    of each.
    """

    stream_version: int
    bucket: int
    position: int
    at: datetime
    topic: str
    points: int
    balance: int
    rule: str | None
    lots: list[dict[str, int]]
    text: str
    actor: str


@dataclass(frozen=True, slots=True)
class Conservation:
    """The programme's points. What came in must be what went out and what is there."""

    accounts: int
    credited: int
    debited: int
    returned: int
    expired: int
    reversed: int
    balance: int
    lots_remaining: int

    @property
    def difference(self) -> int:
        """Points that are nowhere (positive) or from nowhere (negative)."""
        gone = self.debited - self.returned + self.expired + self.reversed
        return self.credited - gone - self.lots_remaining

    @property
    def holds(self) -> bool:
        return self.difference == 0 and self.balance == self.lots_remaining


@dataclass(frozen=True, slots=True)
class Imbalance:
    """A member whose account, lots and events disagree. There must be none."""

    member_id: str
    balance: int
    lots_remaining: int
    events_balance: int


_MOVES = """
    SELECT member_id, stream_version, bucket, position, occurred_at, 'points.credited' AS topic,
        points, source AS text, actor, lot, NULL::bigint AS debit, NULL::bigint AS visit,
        json_build_array(json_build_object('lot', lot, 'points', points)) AS lots
    FROM points_credited
    UNION ALL
    SELECT member_id, stream_version, bucket, position, occurred_at, 'points.debited',
        -points, reason, actor, NULL, debit, visit, lots FROM points_debited
    UNION ALL
    SELECT member_id, stream_version, bucket, position, occurred_at, 'points.debit_reversed',
        points, reason, actor, NULL, debit, NULL, lots FROM points_debit_reversed
    UNION ALL
    SELECT member_id, stream_version, bucket, position, occurred_at, 'points.expired',
        -points, 'lot ' || lot, actor, lot, NULL, NULL,
        json_build_array(json_build_object('lot', lot, 'points', points)) FROM points_expired
    UNION ALL
    SELECT member_id, stream_version, bucket, position, occurred_at, 'points.credit_reversed',
        -points, reason, actor, lot, NULL, NULL, lots FROM points_credit_reversed
"""
_STATEMENT = f"""
    SELECT e.stream_version, e.bucket, e.position, e.at, e.topic, e.points, e.balance,
        coalesce(l.rule, 'price ' || v.club || '/' || v.service || ' ' || v.price_version) AS rule,
        e.lots, e.text, e.actor
    FROM (
        SELECT * FROM (
            SELECT *, occurred_at AS at,
                (sum(points) OVER (ORDER BY stream_version))::bigint AS balance
            FROM ({_MOVES}) moves WHERE member_id = %(member)s
        ) entries
        WHERE %(before)s::bigint IS NULL OR stream_version < %(before)s
        ORDER BY stream_version DESC LIMIT %(limit)s
    ) e
    LEFT JOIN lot l ON l.member_id = %(member)s AND l.lot = e.lot
    LEFT JOIN points_debited d ON e.topic = 'points.debit_reversed'
        AND d.member_id = %(member)s AND d.debit = e.debit
    LEFT JOIN visit v ON v.member_id = %(member)s AND v.visit = coalesce(e.visit, d.visit)
    ORDER BY e.stream_version DESC
"""


def account(conn: Conn, member_id: str, at: datetime) -> Account:
    """A member's totals, and his lots as they stand at this instant. Nothing at all is zeros."""
    cursor = conn.cursor(row_factory=class_row(Account))
    found = cursor.execute(
        """
        SELECT %(member)s AS member_id, coalesce(a.credited, 0) AS credited,
            coalesce(a.debited, 0) AS debited, coalesce(a.returned, 0) AS returned,
            coalesce(a.expired, 0) AS expired, coalesce(a.reversed, 0) AS reversed,
            coalesce(a.balance, 0) AS balance, l.spendable, l.pending, l.lapsed
        FROM (
            SELECT coalesce(sum(remaining) FILTER (WHERE available_from <= %(at)s
                    AND (expires_at IS NULL OR expires_at > %(at)s)), 0)::bigint AS spendable,
                coalesce(sum(remaining) FILTER (WHERE available_from > %(at)s), 0)::bigint
                    AS pending,
                coalesce(sum(remaining) FILTER (WHERE available_from <= %(at)s
                    AND expires_at <= %(at)s), 0)::bigint AS lapsed
            FROM lot WHERE member_id = %(member)s
        ) l
        LEFT JOIN account a ON a.member_id = %(member)s
        """,
        {"member": member_id, "at": at},
    ).fetchone()
    assert found is not None  # an aggregate without GROUP BY has a row
    return found


def lots(conn: Conn, member_id: str, spent: bool = False) -> list[Lot]:
    """A member's lots in the order in which they are spent; on demand the empty ones too."""
    cursor = conn.cursor(row_factory=class_row(Lot))
    return cursor.execute(
        """
        SELECT lot, credited, debited, returned, expired, reversed, remaining, earned_at,
            available_from, expires_at, source, rule
        FROM lot WHERE member_id = %s AND (%s OR remaining > 0)
        ORDER BY expires_at NULLS LAST, earned_at, lot
        """,
        (member_id, spent),
    ).fetchall()


def statement(
    conn: Conn, member_id: str, limit: int = 50, before: int | None = None
) -> list[Entry]:
    """What moved a member's points, newest first, each line with the balance after it.

    `before` is the stream version of the last line of the page before.
    """
    cursor = conn.cursor(row_factory=class_row(Entry))
    page = {"member": member_id, "before": before, "limit": limit}
    return cursor.execute(_STATEMENT, page).fetchall()


@contextmanager
def whole_statement(conn: Conn, member_id: str) -> Iterator[Iterator[Entry]]:
    """All lines of a statement, fetched as they are asked for. Only within a transaction."""
    with conn.cursor(name="statement", row_factory=class_row(Entry)) as cursor:
        whole = {"member": member_id, "before": None, "limit": None}
        yield iter(cursor.execute(_STATEMENT, whole))


def conservation(conn: Conn) -> Conservation:
    """The points of the whole programme."""
    cursor = conn.cursor(row_factory=class_row(Conservation))
    found = cursor.execute(
        """
        SELECT count(*) AS accounts, coalesce(sum(credited), 0)::bigint AS credited,
            coalesce(sum(debited), 0)::bigint AS debited,
            coalesce(sum(returned), 0)::bigint AS returned,
            coalesce(sum(expired), 0)::bigint AS expired,
            coalesce(sum(reversed), 0)::bigint AS reversed,
            coalesce(sum(balance), 0)::bigint AS balance,
            (SELECT coalesce(sum(remaining), 0)::bigint FROM lot) AS lots_remaining
        FROM account
        """
    ).fetchone()
    assert found is not None  # an aggregate without GROUP BY has a row
    return found


def unbalanced(conn: Conn, limit: int = 100) -> list[Imbalance]:
    """Members whose account is not the sum of their lots, or not that of their events."""
    cursor = conn.cursor(row_factory=class_row(Imbalance))
    return cursor.execute(
        f"""
        SELECT member_id, coalesce(a.balance, 0) AS balance, coalesce(l.remaining, 0)
            AS lots_remaining, coalesce(e.points, 0) AS events_balance
        FROM account a
        FULL JOIN (
            SELECT member_id, sum(remaining)::bigint AS remaining FROM lot GROUP BY 1
        ) l USING (member_id)
        FULL JOIN (
            SELECT member_id, sum(points)::bigint AS points FROM ({_MOVES}) moves GROUP BY 1
        ) e USING (member_id)
        WHERE a.balance IS DISTINCT FROM l.remaining OR a.balance IS DISTINCT FROM e.points
        ORDER BY member_id LIMIT %s
        """,
        (limit,),
    ).fetchall()
