"""Visits: each one, and how the clubs are used by service, month, tier and unit."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import date, datetime
from typing import Literal

from psycopg.rows import class_row
from pydantic import Field

from domain.kernel.values import add_months, local_date, start_of
from domain.visits import Payment, VisitRecorded, VisitUndone
from projections.engine.answer import Answer, Dated
from projections.engine.connection import Conn
from projections.engine.days import end_of, month_of, months_between, whole_months
from projections.engine.event_tables import counted
from projections.engine.measure import Events, Need, Rows, measure
from projections.engine.names import closed
from projections.engine.projection import Projection
from projections.engine.ratio import Mean
from projections.engine.reference import ReferenceFold, Row, Stored, folded
from projections.engine.views import view
from projections.members import ON_NETWORK


class Visits(Projection):
    """A row a visit, and its sums; a visit that was undone is taken out of the sums again."""

    tables = (
        """
        CREATE TABLE visit (
            bucket smallint NOT NULL,
            member_id text NOT NULL,
            visit bigint NOT NULL,
            position bigint NOT NULL,
            occurred_at timestamptz NOT NULL,
            club_id text NOT NULL,
            service_id text NOT NULL,
            tier text,
            important boolean NOT NULL,
            unit_id text NOT NULL,
            companions bigint NOT NULL,
            payment text NOT NULL,
            points bigint NOT NULL,
            price_version bigint NOT NULL,
            desk text NOT NULL,
            actor text NOT NULL,
            undone_at timestamptz,
            PRIMARY KEY (member_id, visit, bucket)
        ) WITH (fillfactor = 90)
        """,
        """
        CREATE TABLE club_use (
            bucket smallint NOT NULL,
            club_id text NOT NULL,
            service_id text NOT NULL,
            month date NOT NULL,
            tier text,
            unit_id text NOT NULL,
            visits bigint NOT NULL,
            companions bigint NOT NULL,
            points bigint NOT NULL,
            free_visits bigint NOT NULL,
            UNIQUE NULLS NOT DISTINCT (club_id, month, service_id, tier, unit_id, bucket)
        ) WITH (fillfactor = 80)
        """,
    )
    indexes = (
        "CREATE INDEX ON visit (occurred_at, bucket, position)",
        "CREATE INDEX ON visit (club_id, occurred_at, bucket, position)",
    )
    fold = (
        """
        INSERT INTO visit (bucket, member_id, visit, position, occurred_at, club_id, service_id,
            tier, important, unit_id, companions, payment, points, price_version, desk, actor)
        SELECT bucket, member_id, visit, position, occurred_at, club_id, service_id, tier,
            important, unit_id, companions, payment, points, price_version, desk, actor
        FROM {visit_recorded} e
        """,
        """
        UPDATE visit v SET undone_at = u.occurred_at FROM {visit_undone} u
        WHERE v.member_id = u.member_id AND v.visit = u.visit AND v.bucket = u.bucket
        """,
        """
        INSERT INTO club_use (bucket, club_id, service_id, month, tier, unit_id, visits, companions,
            points, free_visits)
        SELECT bucket, club_id, service_id,
            date_trunc('month', occurred_at)::date, tier, unit_id,
            sum(n), sum(n * companions), sum(n * points),
            coalesce(sum(n) FILTER (WHERE payment = 'free_visit'), 0)
        FROM (
            SELECT bucket, club_id, service_id, occurred_at, tier, unit_id, companions, points,
                payment, 1 AS n
            FROM {visit_recorded} e
            UNION ALL
            SELECT v.bucket, v.club_id, v.service_id, v.occurred_at, v.tier, v.unit_id,
                v.companions, v.points,
                v.payment, -1
            FROM {visit_undone} u
            JOIN visit v
            ON v.member_id = u.member_id AND v.visit = u.visit AND v.bucket = u.bucket
        ) changes
        GROUP BY 1, 2, 3, 4, 5, 6
        ON CONFLICT (club_id, month, service_id, tier, unit_id, bucket) DO UPDATE
        SET visits = club_use.visits + excluded.visits,
            companions = club_use.companions + excluded.companions,
            points = club_use.points + excluded.points,
            free_visits = club_use.free_visits + excluded.free_visits
        """,
    )


Dimension = Literal["club_id", "service_id", "month", "tier", "unit_id"]
DIMENSIONS: tuple[Dimension, ...] = ("club_id", "service_id", "month", "tier", "unit_id")


class Use(Answer):
    """How much a club was used; a dimension that was not asked for is null."""

    club_id: str | None
    service_id: str | None
    month: date | None
    tier: str | None
    unit_id: str | None
    visits: int
    companions: int
    points: int
    free_visits: int


class ClubUse(Dated):
    """Use of a club on the days from `first` to `last`; the rows add up to the sums."""

    club_id: str
    first: date
    last: date
    visits: int
    companions: int
    points: int
    free_visits: int
    distinct_members: int
    months_open: int = Field(description="months begun by today with a day on which it was open")
    monthly_visits: Mean = Field(description="visits a month over the months the club was open")
    rows: list[Use]


class Visit(Answer):
    """A visit as it stands now."""

    member_id: str
    visit: int
    occurred_at: datetime
    club_id: str
    service_id: str
    companions: int
    payment: str
    points: int
    desk: str
    undone_at: datetime | None


LISTED = """
    SELECT member_id, visit, occurred_at, club_id, service_id, companions, payment, points, desk,
        undone_at
    FROM visit
"""


def latest_visits(conn: Conn, member_id: str, limit: int) -> list[Visit]:
    """A member's visits, the last first; none that was undone."""
    cursor = conn.cursor(row_factory=class_row(Visit))
    return cursor.execute(
        LISTED + "WHERE member_id = %s AND undone_at IS NULL"
        " ORDER BY occurred_at DESC, visit DESC LIMIT %s",
        (member_id, limit),
    ).fetchall()


def visits_at_desk(conn: Conn, club_id: str, desk: str, since: datetime, limit: int) -> list[Visit]:
    """The visits that a desk took from this instant on, the last first, undone ones among them."""
    cursor = conn.cursor(row_factory=class_row(Visit))
    return cursor.execute(
        LISTED + "WHERE club_id = %s AND desk = %s AND occurred_at >= %s"
        " ORDER BY occurred_at DESC, bucket, position DESC LIMIT %s",
        (club_id, desk, since, limit),
    ).fetchall()


def use(
    conn: Conn,
    first: date,
    last: date,
    by: Sequence[Dimension] = ("club_id",),
    club_id: str | None = None,
) -> list[Use]:
    """Use of the clubs on the days first..last, summed by these dimensions.

    Whole months are read from their sums, the days before and after them visit by visit.
    """
    wanted = [name for name in DIMENSIONS if name in by]
    columns = ", ".join(name if name in wanted else f"NULL AS {name}" for name in DIMENSIONS)
    cursor = conn.cursor(row_factory=class_row(Use))
    return cursor.execute(
        f"""
        SELECT {columns}, sum(visits)::bigint AS visits, sum(companions)::bigint AS companions,
            sum(points)::bigint AS points, coalesce(sum(free_visits), 0)::bigint AS free_visits
        FROM (
            SELECT club_id, service_id, month, tier, unit_id, visits, companions, points,
                free_visits
            FROM club_use WHERE month >= %(from_month)s AND month < %(to_month)s
            UNION ALL
            SELECT club_id, service_id,
                date_trunc('month', occurred_at)::date, tier, unit_id,
                1, companions, points, (payment = 'free_visit')::integer
            FROM visit
            WHERE undone_at IS NULL AND (
                occurred_at >= %(start)s AND occurred_at < %(whole_start)s
                OR occurred_at >= %(whole_end)s AND occurred_at < %(end)s
            )
        ) used
        WHERE %(club_id)s::text IS NULL OR club_id = %(club_id)s
        GROUP BY {", ".join(wanted) or "()"}
        HAVING sum(visits) > 0
        ORDER BY {", ".join(wanted) or "1"}
        """,
        {"club_id": club_id, **_parts(first, last)},
    ).fetchall()


def _parts(first: date, last: date) -> dict[str, date | datetime]:
    """Whole months [from_month, to_month), and days [start, whole_start) and [whole_end, end)."""
    months = whole_months(first, last)
    begin, end = (months[0], add_months(months[1], 1)) if months else (last, last)
    whole_start, whole_end = (start_of(begin), start_of(end)) if months else (end_of(last),) * 2
    return {
        "from_month": begin,
        "to_month": end,
        "start": start_of(first),
        "whole_start": whole_start,
        "whole_end": whole_end,
        "end": end_of(last),
    }


def club_use(
    conn: Conn,
    club_id: str,
    first: date,
    last: date,
    by: Sequence[Dimension] = (),
    today: date | None = None,
) -> ClubUse | None:
    """A club's visits on the days first..last that were not undone, in all and by these dimensions;
    null if there is no such club.

    The mean is over the calendar months in which it was open on some day of first..last; months
    that begin after `today` have not come and are not counted.
    """
    opened = conn.execute("SELECT opens_on FROM club WHERE club_id = %s", (club_id,)).fetchone()
    if opened is None:
        return None
    found = conn.execute(
        """
        SELECT count(*), coalesce(sum(companions), 0)::bigint, coalesce(sum(points), 0)::bigint,
            count(*) FILTER (WHERE payment = 'free_visit'), count(DISTINCT member_id)
        FROM visit WHERE club_id = %s AND occurred_at >= %s AND occurred_at < %s
            AND undone_at IS NULL
        """,
        (club_id, start_of(first), end_of(last)),
    ).fetchone()
    number, companions, points, free, members = found or (0, 0, 0, 0, 0)
    months = months_between(max(first, opened[0]), last if today is None else min(last, today))
    return ClubUse(
        club_id=club_id,
        first=first,
        last=last,
        visits=number,
        companions=companions,
        points=points,
        free_visits=free,
        distinct_members=members,
        months_open=months,
        monthly_visits=Mean.of(number, months),
        rows=use(conn, first, last, ("club_id", *by), club_id),
    )


# ----------------------------------------------------------------------------------- measures
_OF_DAYS = "undone_at IS NULL AND occurred_at >= %(start)s AND occurred_at < %(end)s"
_CLUB = Need("club_id")

VISITS = Rows(
    f"""
    SELECT bucket, member_id, visit, occurred_at, club_id, service_id, tier, unit_id, payment, desk,
        1 AS visits, companions, points, (payment = 'free_visit')::int AS free_visits
    FROM visit WHERE {_OF_DAYS}
    """,
    key=("member_id", "visit"),
    dims=("club_id", "service_id", "tier", "unit_id", "payment", "desk"),
    decided=("occurred_at",),
    sums=("visits", "companions", "points", "free_visits"),
    events=(Events("visit.recorded", by=("member_id", "visit")),),
    days=True,
    what="Visits that were not undone, with the tier and unit of their moment.",
)

OF_A_CLUB = replace(
    VISITS,
    text=f"{VISITS.text} AND club_id = %(club_id)s",
    dims=("service_id", "tier", "unit_id", "payment", "desk"),
    needs=(_CLUB,),
    once={
        "months": """
            SELECT greatest(0, (extract(year FROM %(on)s::date) - extract(year FROM since)) * 12
                + extract(month FROM %(on)s::date) - extract(month FROM since) + 1)::int
            FROM (
                SELECT greatest(opens_on, %(first)s::date) AS since FROM club
                WHERE club_id = %(club_id)s
            ) c
            WHERE since <= %(on)s
        """
    },
    what="The same of one club, and the calendar months in which it was open on some of the days.",
)

VISITORS = Rows(
    f"""
    SELECT v.bucket, v.member_id, m.tier, m.unit_id, v.visits, 1 AS members
    FROM (
        SELECT bucket, member_id, count(*) AS visits FROM visit
        WHERE {_OF_DAYS} AND (%(club_id)s::text IS NULL OR club_id = %(club_id)s)
            AND (%(service_id)s::text IS NULL OR service_id = %(service_id)s)
        GROUP BY 1, 2
    ) v
    JOIN member m ON m.member_id = v.member_id AND m.bucket = v.bucket
    """,
    key=("member_id",),
    dims=("tier", "unit_id"),
    decided=("visits",),
    sums=("members", "visits"),
    events=(Events("visit.recorded", where="occurred_at >= %(start)s AND occurred_at < %(end)s"),),
    may={"club_id": None, "service_id": None},
    days=True,
    what="Members who came, each once, with the tier and unit that they have now.",
)

ELIGIBLE = Rows(
    f"""
    SELECT m.bucket, m.member_id, s.position, s.tier, u.unit_id, i.important, v.visits,
        1 AS eligible,
        (v.visits IS NOT NULL)::int AS came
    FROM member m
    JOIN unit_span u ON u.member_id = m.member_id AND u.bucket = m.bucket
        AND u.since < %(end)s AND (u.until IS NULL OR u.until >= %(end)s)
    LEFT JOIN tier_span s ON s.member_id = m.member_id AND s.bucket = m.bucket
        AND s.since < %(end)s AND (s.until IS NULL OR s.until >= %(end)s)
    LEFT JOIN (
        SELECT DISTINCT ON (bucket, member_id) bucket, member_id, important
        FROM {counted("member.marked_important")} e WHERE occurred_at < %(end)s
        ORDER BY bucket, member_id, occurred_at DESC, position DESC
    ) i ON i.member_id = m.member_id AND i.bucket = m.bucket
    JOIN club c ON c.club_id = %(club_id)s
        AND (s.tier = ANY (c.tiers) OR (i.important AND c.important))
    LEFT JOIN (
        SELECT bucket, member_id, count(*) AS visits FROM visit
        WHERE {_OF_DAYS} AND club_id = %(club_id)s GROUP BY 1, 2
    ) v ON v.member_id = m.member_id AND v.bucket = m.bucket
    WHERE m.joined_at < %(end)s AND {ON_NETWORK.format("m", "%(end)s")}
    """,
    key=("member_id",),
    dims=("tier", "unit_id"),
    decided=("important", "visits"),
    sums=("eligible", "came"),
    events=(
        Events("tier.changed", by=("member_id", "position")),
        Events("member.marked_important", where="important AND occurred_at < %(end)s"),
        Events(
            "visit.recorded",
            where="club_id = %(club_id)s AND occurred_at >= %(start)s AND occurred_at < %(end)s",
        ),
    ),
    needs=(_CLUB,),
    days=True,
    what="Whom a club admits at the end of `on`, and who of them came.",
)

ENTITLED = Rows(
    f"""
    SELECT m.bucket, m.member_id, s.position, p.club_id, p.service_id, s.tier, u.unit_id,
        (p.free_visits ->> s.tier)::bigint AS granted, coalesce(v.used, 0) AS used
    FROM (
        SELECT DISTINCT ON (club_id, service_id) club_id, service_id, free_visits FROM service
        WHERE since < %(end)s ORDER BY club_id, service_id, since DESC, price_version DESC
    ) p
    JOIN tier_span s ON p.free_visits ? s.tier AND s.since < %(end)s
        AND (s.until IS NULL OR s.until >= %(end)s)
    JOIN unit_span u ON u.member_id = s.member_id AND u.bucket = s.bucket
        AND u.since < %(end)s AND (u.until IS NULL OR u.until >= %(end)s)
    JOIN member m ON m.member_id = s.member_id AND m.bucket = s.bucket
        AND {ON_NETWORK.format("m", "%(end)s")}
    LEFT JOIN (
        SELECT bucket, member_id, club_id, service_id, count(*) AS used FROM visit
        WHERE {_OF_DAYS} AND payment = 'free_visit' GROUP BY 1, 2, 3, 4
    ) v ON v.member_id = m.member_id AND v.bucket = m.bucket AND v.club_id = p.club_id
        AND v.service_id = p.service_id
    """,
    key=("member_id", "club_id", "service_id"),
    dims=("club_id", "service_id", "tier", "unit_id"),
    sums=("granted", "used"),
    events=(
        Events("tier.changed", by=("member_id", "position")),
        Events(
            "visit.recorded",
            by=("member_id", "club_id", "service_id"),
            where="payment = 'free_visit' AND occurred_at >= %(start)s AND occurred_at < %(end)s",
        ),
    ),
    days=True,
    what="The free visits of a year by tier and service, of who is on the network at the end "
    "of `on`, and those taken since `first`.",
)

measure("visits.count", "Visits", "到访次数", "visits", VISITS, "visits")
measure("visits.companions", "Companions", "随行人数", "people", VISITS, "companions")
measure("visits.points", "Points for visits", "到访扣减积分", "points", VISITS, "points")
measure("visits.free", "Free visits", "免费到访次数", "visits", VISITS, "free_visits")
measure("visits.monthly", "Visits a month", "月均到访", "visits", OF_A_CLUB, "visits / months",
        note="over the calendar months in which the club was open")  # fmt: skip
measure("visits.members", "Members who came", "到访会员数", "customers", VISITORS, "members")
measure("visits.each", "Visits a member", "人均到访次数", "visits", VISITORS, "visits / members",
        digits=2)  # fmt: skip
measure("visits.eligible", "Members whom the club admits", "可享服务会员数", "customers", ELIGIBLE,
        "eligible")  # fmt: skip
measure("visits.reach", "Of them, who came", "到访会员占比", "%", ELIGIBLE, "100 * came / eligible",
        digits=2)  # fmt: skip
measure("visits.entitlement", "Free visits taken of those granted", "免费次数使用率", "%", ENTITLED,
        "100 * used / granted", digits=2)  # fmt: skip


closed("payment", Payment)
view(
    "visits",
    "Every visit of a member to a club; one that was undone, too.",
    """
    SELECT occurred_at, bucket, position, member_id, visit, club_id, service_id, tier, important,
        unit_id, companions, payment, points, price_version, desk, actor, undone_at,
        undone_at IS NOT NULL AS undone
    FROM visit
    """,
    """
    occurred_at timestamptz
    bucket smallint
    position bigint
    member_id text
    visit bigint: its number among his
    club_id text
    service_id text
    tier text?
    important boolean: whether he was marked so
    unit_id text
    companions bigint: how many came with him
    payment text: points, free_visit or free
    points bigint: what it cost
    price_version bigint: the version of the price
    desk text
    actor text
    undone_at timestamptz?: when it was taken back
    undone boolean: whether it was
    """,
    key=("occurred_at", "bucket", "position"),
    same=("member_id", "club_id", "service_id", "tier", "unit_id", "payment", "desk", "undone"),
    least=("points",),
    day="occurred_at",
)


# ----------------------------------------------------------------------- the same in plain Python
@folded(VisitRecorded)
def _visit_recorded(fold: ReferenceFold, at: Stored, event: VisitRecorded) -> None:
    row = fold.add("visit", (at.id, event.visit), bucket=at.bucket, member_id=at.id,
                   visit=event.visit, position=at.position, occurred_at=event.occurred_at,
                   club_id=event.club_id, service_id=event.service_id, tier=event.tier,
                   important=event.important, unit_id=event.unit_id,
                   companions=event.companions, payment=event.payment, points=event.points,
                   price_version=event.price_version, desk=event.desk, actor=event.actor,
                   undone_at=None)  # fmt: skip
    _use(fold, row, 1)


@folded(VisitUndone)
def _visit_undone(fold: ReferenceFold, at: Stored, event: VisitUndone) -> None:
    row = fold.row("visit", at.id, event.visit)
    row["undone_at"] = event.occurred_at
    _use(fold, row, -1)


def _use(fold: ReferenceFold, visit: Row, sign: int) -> None:
    key = {name: visit[name] for name in ("bucket", "club_id", "service_id", "tier", "unit_id")}
    free = visit["payment"] == "free_visit"
    month = month_of(local_date(visit["occurred_at"]))
    fold.sum("club_use", {**key, "month": month}, visits=sign,
             companions=sign * visit["companions"], points=sign * visit["points"],
             free_visits=sign if free else 0)  # fmt: skip
