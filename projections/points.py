"""Points: lots and what is left of them, accounts, statements, and whether all of it adds up."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime
from typing import Any

from psycopg.rows import class_row
from pydantic import Field

from domain.catalogue import CATALOGUE
from domain.kernel.postings import ACCOUNTS, OWNED, MovesPoints, balances
from domain.points.movements import LotOpened, PointsCarriedOver
from ledger import reading
from projections.engine.answer import Answer, Dated
from projections.engine.connection import Conn, streaming
from projections.engine.measure import Events, Rows, measure
from projections.engine.names import closed
from projections.engine.postings import (
    BALANCE,
    CHANGE,
    EACH,
    MOVED,
    NETS,
    SUMS,
    TOGETHER,
    change,
    change_of,
    each_posting,
    entries,
    moved,
    movers,
    rows,
)
from projections.engine.projection import Projection
from projections.engine.reference import ReferenceFold, Stored, folded
from projections.engine.views import view

_ADDED = ", ".join(f"{name} = {{0}}.{name} + {{1}}.{name}" for name in ACCOUNTS)
_COLUMNS = ", ".join(f"{name} bigint NOT NULL" for name in ACCOUNTS)
_HELD = " ".join(f"CHECK ({name} >= 0)," for name in OWNED)
_NAMES = ", ".join(ACCOUNTS)


OPENS = sorted(topic for topic, event in CATALOGUE.items() if issubclass(event, LotOpened))
"""The events that open lots."""


def _opened(events: str, rule: str) -> str:
    return f"""
        INSERT INTO lot (bucket, member_id, lot, {_NAMES}, earned_at, available_from, expires_at,
            source, rule)
        SELECT bucket, member_id, posting.lot, {", ".join(MOVED.values())}, occurred_at,
            coalesce(available_from, occurred_at), expires_at, e.source, {rule}
        FROM {{{events}}} e, {EACH}
    """


class Points(Projection):
    """A row a lot and a row a member, both with a column for each account of postings.
    They are folded from the postings, whatever event brought them.

    A lot is opened with what its credit moved; whatever moves its points later is added.
    """

    tables = (
        f"""
        CREATE TABLE lot (
            bucket smallint NOT NULL,
            member_id text NOT NULL,
            lot bigint NOT NULL,
            {_COLUMNS}, {_HELD}
            earned_at timestamptz NOT NULL,
            available_from timestamptz NOT NULL,
            expires_at timestamptz,
            source text NOT NULL,
            rule text NOT NULL,
            PRIMARY KEY (member_id, lot, bucket)
        ) WITH (fillfactor = 80)
        """,
        f"""
        CREATE TABLE account (
            bucket smallint NOT NULL,
            member_id text NOT NULL,
            {_COLUMNS},
            PRIMARY KEY (member_id, bucket)
        ) WITH (fillfactor = 80)
        """,
    )
    fold = (
        _opened("points_credited", "rule"),
        _opened("points_carried_over", f"'{PointsCarriedOver.rule}'"),
        f"""
        UPDATE lot SET {_ADDED.format("lot", "m")}
        FROM (
            SELECT bucket, member_id, lot, {NETS} FROM {{postings}} posting
            WHERE topic NOT IN ({", ".join(f"'{topic}'" for topic in OPENS)}) GROUP BY 1, 2, 3
        ) m
        WHERE lot.member_id = m.member_id AND lot.lot = m.lot AND lot.bucket = m.bucket
        """,
        f"""
        INSERT INTO account (bucket, member_id, {_NAMES})
        SELECT bucket, member_id, {NETS} FROM {{postings}} posting GROUP BY 1, 2
        ON CONFLICT (member_id, bucket) DO UPDATE SET {_ADDED.format("account", "excluded")}
        """,
    )


class Account(Answer):
    """Sums of all that ever happened to a member's points."""

    credited: int
    debited: int = Field(description="what a reversed debit took is not counted")
    expired: int
    reversed: int
    balance: int
    spendable: int = Field(description="at this moment")
    pending: int = Field(description="not yet available")
    lapsed: int = Field(description="past its expiry, not yet written off")


class Lot(Answer):
    """What is left of one credit."""

    lot: int
    credited: int
    remaining: int
    earned_at: datetime
    available_from: datetime
    expires_at: datetime | None
    source: str
    rule: str


class LotUse(Answer):
    """So many points of a lot."""

    lot: int
    points: int

    def __str__(self) -> str:
        return f"lot {self.lot}: {self.points}"


class Entry(Answer):
    """A line of a statement: signed points, and the balance after them."""

    stream_version: int
    bucket: int
    position: int
    occurred_at: datetime
    topic: str
    points: int
    balance: int
    rule: str | None = Field(
        description="what decided it: the rule of the credit, or the version of the price",
        examples=["price health/waiting 1"],
    )
    lots: list[LotUse] = Field(description="which lots, and how many points of each")
    text: str
    actor: str


class Statement(Dated):
    """A member's points, newest first."""

    member_id: str
    entries: list[Entry]
    next: int | None = Field(description="send it as `before` for the next page; null at the end")


_LOTS = f"""
    SELECT coalesce(json_agg(json_build_object('lot', lot, 'points', points) ORDER BY first), '[]')
    FROM (
        SELECT lot, (sum({CHANGE}) * CASE WHEN e.points < 0 THEN -1 ELSE 1 END)::bigint AS points,
            min(place) AS first
        FROM (
            SELECT m.*, row_number() OVER () AS place
            FROM (SELECT lot, source, target, points FROM {EACH}) m
        ) placed
        GROUP BY lot HAVING sum({CHANGE}) <> 0
    ) by_lot
"""
_MOVES = f"""
    FROM {entries()} e WHERE e.member_id = %(member)s
        AND (%(before)s::bigint IS NULL OR e.stream_version < %(before)s)
"""
_AMONG = "AND e.position = ANY (%(positions)s)"


def _lines(among: str = "") -> str:
    """Lines, and the balance after each of what these lines add up to. The debits are not read for
    members of whom none was reversed."""
    return f"""
    SELECT e.stream_version, e.bucket, e.position, e.occurred_at, e.topic, e.points,
        (sum(e.points) OVER (ORDER BY e.stream_version))::bigint AS balance,
        coalesce(l.rule, 'price ' || v.club_id || '/' || v.service_id || ' ' || v.price_version)
            AS rule,
        ({_LOTS}) AS lots, e.text, e.actor
    FROM (
        SELECT e.*, c.change AS points
        FROM (SELECT e.* {_MOVES} {among} ORDER BY stream_version DESC LIMIT %(limit)s) e,
            LATERAL ({change()}) c
    ) e
    LEFT JOIN lot l ON l.member_id = %(member)s AND l.lot = e.lot
    LEFT JOIN (
        SELECT debit, visit FROM points_debited WHERE member_id = %(member)s
            AND EXISTS (SELECT FROM points_debit_reversed WHERE member_id = %(member)s)
        OFFSET 0
    ) d ON e.topic = 'points.debit_reversed' AND d.debit = e.debit
    LEFT JOIN visit v ON v.member_id = %(member)s AND v.visit = coalesce(e.visit, d.visit)
    ORDER BY e.stream_version DESC
    """


_STATEMENT, _PAGE = _lines(), _lines(_AMONG)
_BELOW = f"SELECT {TOGETHER} {_MOVES}"
_SINCE = f"""
    SELECT {TOGETHER}, (SELECT {BALANCE} FROM account WHERE member_id = %(member)s)
    FROM {entries()} e
    WHERE e.member_id = %(member)s AND e.position > %(position)s AND e.bucket = %(bucket)s
"""
"""What came after a line, and the balance after all. By its place in the log: where little came,
the index of places leads there, and the lines of the member are not read again."""
_NAMED = {name: f"coalesce(sum({sql}), 0)::bigint AS {name}" for name, sql in SUMS.items()}


def account(conn: Conn, member_id: str, at: datetime) -> Account:
    """A member's totals, and his lots as they stand at this instant. Nothing at all is zeros."""
    cursor = conn.cursor(row_factory=class_row(Account))
    found = cursor.execute(
        f"""
        SELECT a.*, l.spendable, l.pending, l.lapsed
        FROM (
            SELECT coalesce(sum({BALANCE}) FILTER (WHERE available_from <= %(at)s
                    AND (expires_at IS NULL OR expires_at > %(at)s)), 0)::bigint AS spendable,
                coalesce(sum({BALANCE}) FILTER (WHERE available_from > %(at)s), 0)::bigint
                    AS pending,
                coalesce(sum({BALANCE}) FILTER (WHERE available_from <= %(at)s
                    AND expires_at <= %(at)s), 0)::bigint AS lapsed
            FROM lot WHERE member_id = %(member)s
        ) l
        CROSS JOIN (SELECT {", ".join(_NAMED.values())} FROM account WHERE member_id = %(member)s) a
        """,
        {"member": member_id, "at": at},
    ).fetchone()
    assert found is not None  # an aggregate without GROUP BY has a row
    return found


def lots(conn: Conn, member_id: str) -> list[Lot]:
    """A member's lots with points left, in the order in which they are spent."""
    cursor = conn.cursor(row_factory=class_row(Lot))
    return cursor.execute(
        f"""
        SELECT lot, {SUMS["credited"]} AS credited, {BALANCE} AS remaining, earned_at,
            available_from, expires_at, source, rule
        FROM lot WHERE member_id = %s AND {BALANCE} > 0
        ORDER BY expires_at NULLS LAST, earned_at, lot
        """,
        (member_id,),
    ).fetchall()


def statement(
    conn: Conn,
    member_id: str,
    limit: int = 50,
    before: int | None = None,
    sources: str = "",
    *,
    in_order: bool = True,
    known: Mapping[int, int] | None = None,
) -> Statement:
    """A page of what moved a member's points. The rule of a credit stands also where it lapses or
    is reversed, that of a debit also where that is.

    `before` is the stream version of the last line of the page before. `sources` may put others in
    the place of the tables that are read (WITH ...); `in_order` says that their lines are the first
    of all, up to some line, and `known` up to which positions.
    """
    page = {"member": member_id, "before": before, "limit": limit + 1}
    found = _newest(conn, page, sources, known) if in_order else []
    if not found:
        cursor = conn.cursor(row_factory=class_row(Entry))
        found = cursor.execute(sources + _STATEMENT, page).fetchall()
    shown = found[:limit]
    if len(found) <= limit:
        return Statement(member_id=member_id, entries=shown, next=None)
    below = _balance_below(conn, page, found, sources, in_order)
    entries = [line.model_copy(update={"balance": line.balance + below}) for line in shown]
    return Statement(member_id=member_id, entries=entries, next=shown[-1].stream_version)


def _newest(
    conn: Conn, page: dict[str, Any], sources: str, known: Mapping[int, int] | None
) -> list[Entry]:
    """The lines of a full page, where the log says which these are: of a long life, no other is
    read. None if the page is not full, or what is asked does not hold all of them."""
    stream, before, most = f"member:{page['member']}", page["before"], page["limit"]
    if known is not None:
        end = reading.version_at(conn, stream, known) + 1
        before = end if before is None else min(before, end)
    if before is None:
        before = reading.last_version(conn, stream) + 1
    positions = reading.newest(conn, stream, movers(), before, most)
    if len(positions) < most:
        return []
    cursor = conn.cursor(row_factory=class_row(Entry))
    found = cursor.execute(sources + _PAGE, page | {"positions": positions}).fetchall()
    return found if len(found) == most else []


def _balance_below(
    conn: Conn, page: dict[str, Any], found: list[Entry], sources: str, in_order: bool
) -> int:
    """The balance before these lines: what is below them adds up to that, or is what the account
    holds now without them and what came since, whichever is less to add up."""
    newest, oldest = found[0], found[-1]
    last = reading.last_version(conn, f"member:{page['member']}")
    if in_order and oldest.stream_version * 2 > last:
        place = {"position": newest.position, "bucket": newest.bucket}
        together, balance = conn.execute(_SINCE, page | place).fetchone() or (None, 0)
        return int(balance) - change_of(together) - sum(line.points for line in found)
    below = page | {"before": oldest.stream_version}
    (together,) = conn.execute(sources + _BELOW, below).fetchone() or (None,)
    return change_of(together)


@contextmanager
def whole_statement(conn: Conn, member_id: str, sources: str = "") -> Iterator[Iterator[Entry]]:
    """All lines of a statement, fetched as they are asked for. Only within a transaction."""
    with streaming(conn, class_row(Entry)) as cursor:
        whole = {"member": member_id, "before": None, "limit": None}
        yield iter(cursor.execute(sources + _STATEMENT, whole))


# ----------------------------------------------------------------------------------- measures
LOTS = Rows(
    f"""
    SELECT l.bucket, l.member_id, l.lot, m.tier, m.unit_id, l.source, l.rule, l.earned_at,
        l.available_from, l.expires_at, CASE WHEN lives THEN l.points ELSE 0 END AS outstanding,
        CASE WHEN lives AND l.available_from < %(end)s THEN l.points ELSE 0 END AS spendable,
        CASE WHEN lives
                AND l.expires_at < %(end)s::timestamptz
                    + least(%(days)s, 1000000) * interval '1 day'
            THEN l.points ELSE 0 END AS lapsing,
        CASE WHEN l.expires_at >= %(start)s AND NOT lives THEN l.points + l.gone ELSE 0 END
            AS expired
    FROM (
        SELECT l.*, {BALANCE} - coalesce(a.change, 0) AS points,
            {SUMS["expired"]} - coalesce(a.gone, 0) AS gone,
            l.expires_at IS NULL OR l.expires_at >= %(end)s AS lives
        FROM lot l
        LEFT JOIN (
            SELECT bucket, member_id, lot, sum({CHANGE})::bigint AS change,
                sum({MOVED["expired"]})::bigint AS gone
            FROM {rows()} posting WHERE occurred_at >= %(end)s GROUP BY 1, 2, 3
        ) a ON a.member_id = l.member_id AND a.lot = l.lot AND a.bucket = l.bucket
    ) l
    JOIN member m ON m.member_id = l.member_id AND m.bucket = l.bucket
    WHERE l.points <> 0 OR l.gone <> 0
    """,
    key=("member_id", "lot"),
    dims=("tier", "unit_id", "source"),
    decided=("rule", "earned_at", "available_from", "expires_at"),
    sums=("outstanding", "spendable", "lapsing", "expired"),
    once={"fen_per_1000": "SELECT %(fen_per_1000)s::bigint"},
    events=(
        Events(
            "",
            by=("member_id", "lot"),
            where="occurred_at < %(end)s",
            query="(SELECT DISTINCT bucket, member_id, lot, topic, position, occurred_at"
            f" FROM {rows()} p)",
        ),
    ),
    may={"days": 90, "fen_per_1000": 0},
    days=("expired",),
    what="Lots with what was left of them at the end of `on`: what moved later is taken off again. "
    "Tier and unit are those that the member has now.",
)

_FLOWS = ("credited", "debited", "reversed")
MOVEMENTS = Rows(
    f"""
    SELECT e.bucket, e.member_id, e.position, e.topic, e.occurred_at, s.tier, u.unit_id,
        {", ".join(f"{sql} AS {name}" for name, sql in SUMS.items() if name in _FLOWS)}
    FROM {moved()} e
    JOIN unit_span u ON u.member_id = e.member_id AND u.bucket = e.bucket
        AND u.since <= e.occurred_at AND (u.until IS NULL OR u.until > e.occurred_at)
    LEFT JOIN tier_span s ON s.member_id = e.member_id AND s.bucket = e.bucket
        AND s.since <= e.occurred_at AND (s.until IS NULL OR s.until > e.occurred_at)
    WHERE e.occurred_at >= %(start)s AND e.occurred_at < %(end)s
    """,
    key=("member_id", "position"),
    dims=("tier", "unit_id", "topic"),
    decided=("occurred_at",),
    sums=_FLOWS,
    days=True,
    what="Events that moved points, with the tier and unit of their moment. A debit that "
    "was reversed is taken off on the day of that.",
)

measure("points.outstanding", "Points outstanding", "积分余额", "points", LOTS, "outstanding",
        note="what has lapsed by then is none of them, written off or not")  # fmt: skip
measure("points.spendable", "Of them, those that may be spent", "可用积分", "points", LOTS,
        "spendable")  # fmt: skip
measure("points.lapsing", "Points about to lapse", "即将到期积分", "points", LOTS, "lapsing",
        given=("days",), note="within so many days after `on`")  # fmt: skip
measure("points.liability", "Worth of the points outstanding", "积分负债", "yuan", LOTS,
        "outstanding * fen_per_1000 / 1000 / 100", digits=2,
        at_least=(("fen_per_1000", 1, "nobody says what a point is worth"),),
        note="at so many fen for 1,000 points")  # fmt: skip
measure("points.credited", "Points credited", "发放积分", "points", MOVEMENTS, "credited")
measure("points.debited", "Points debited, net of what was reversed", "扣减积分", "points",
        MOVEMENTS, "debited")  # fmt: skip
measure("points.expired", "Points that lapsed", "到期积分", "points", LOTS, "expired",
        note="of the lots that expired on these days, written off or not")  # fmt: skip
measure("points.reversed", "Credits reversed", "冲销积分", "points", MOVEMENTS, "reversed")
measure("points.use_rate", "Points debited of those credited", "积分兑换率", "%", MOVEMENTS,
        "100 * debited / credited", digits=2)  # fmt: skip


closed("topic", sorted(CATALOGUE))
closed("from_account", ACCOUNTS)
closed("to_account", ACCOUNTS)
view(
    "lots",
    "What became of each credit of points.",
    f"""
    SELECT member_id, lot, {SUMS["credited"]} AS credited, {BALANCE} AS remaining, spent, expired,
        reversed, earned_at, available_from, expires_at, source, rule
    FROM lot
    """,
    """
    member_id text
    lot bigint: its number among his
    credited bigint: points that it was opened with
    remaining bigint: what is left of them
    spent bigint: what he paid
    expired bigint: what was written off
    reversed bigint: what was taken back
    earned_at timestamptz: when they were credited
    available_from timestamptz: from when they can be spent
    expires_at timestamptz?: until before when; null: for good
    source text: where they come from
    rule text: by which rule
    """,
    key=("member_id", "lot"),
    same=("member_id", "source", "rule"),
    least=("remaining",),
    day="earned_at",
)
view(
    "postings",
    "Every movement of points from one account to another, lot by lot; all of them add up to zero.",
    each_posting(),
    """
    bucket smallint
    position bigint
    number bigint: which one of its event
    member_id text
    occurred_at timestamptz
    topic text: the event
    lot bigint: whose points
    from_account text: out of which account: outside, spendable, spent, expired, reversed
    to_account text: into which
    points bigint: how many
    actor text
    """,
    key=("bucket", "position", "number"),
    same=("member_id", "topic", "from_account", "to_account"),
    day="occurred_at",
)


# ----------------------------------------------------------------------- the same in plain Python
@folded(MovesPoints)
def _moved(fold: ReferenceFold, at: Stored, event: MovesPoints, sign: int = 1) -> None:
    for lot, accounts in balances(event.postings).items():
        changes = {name: sign * accounts[name] for name in ACCOUNTS}
        for name, points in changes.items():
            fold.row("lot", at.id, lot)[name] += points
        fold.sum("account", {"bucket": at.bucket, "member_id": at.id}, **changes)


@folded(LotOpened)
def _lot_opened(fold: ReferenceFold, at: Stored, event: Any) -> None:
    fold.add("lot", (at.id, event.lot), bucket=at.bucket, member_id=at.id, lot=event.lot,
             **dict.fromkeys(ACCOUNTS, 0), earned_at=event.occurred_at,
             available_from=event.available_from or event.occurred_at,
             expires_at=event.expires_at, source=event.source, rule=event.rule)  # fmt: skip
