"""Clubs: what they offer, who came, what it cost in points, and what happened beside visits."""

from datetime import date, datetime

from psycopg.rows import class_row

from domain.admissions import Category, EmergencyAdmitted
from domain.clubs import (
    ActivityHeld,
    ClubOpened,
    EmergencyDeclared,
    EmergencyEnded,
    ServicePriced,
    UnknownClub,
)
from domain.kernel.values import ClubId
from domain.visits import UnknownService
from projections.engine.answer import Answer
from projections.engine.connection import Conn
from projections.engine.event_tables import counted, typed_tables
from projections.engine.measure import DAY, Events, Need, Rows, measure
from projections.engine.names import closed, named
from projections.engine.projection import Projection
from projections.engine.reference import ReferenceFold, Stored, folded
from projections.engine.views import view


class Clubs(Projection):
    """A row a club, a row a version of a price, activities."""

    tables = (
        """
        CREATE TABLE club (
            bucket smallint NOT NULL,
            club_id text NOT NULL,
            title text NOT NULL,
            opens_on date NOT NULL,
            opens_minute bigint NOT NULL,
            closes_minute bigint NOT NULL,
            tiers text[] NOT NULL,
            important boolean NOT NULL,
            capacity bigint,
            in_emergency boolean NOT NULL DEFAULT false,
            switched_at timestamptz,
            PRIMARY KEY (club_id, bucket)
        )
        """,
        """
        CREATE TABLE service (
            bucket smallint NOT NULL,
            club_id text NOT NULL,
            service_id text NOT NULL,
            price_version bigint NOT NULL,
            title text NOT NULL,
            points bigint NOT NULL,
            tier_points jsonb NOT NULL,
            companion_points bigint NOT NULL,
            free_visits jsonb NOT NULL,
            since timestamptz NOT NULL,
            PRIMARY KEY (club_id, service_id, price_version, bucket)
        )
        """,
        """
        CREATE TABLE activity (
            bucket smallint NOT NULL,
            club_id text NOT NULL,
            activity_id text NOT NULL,
            title text NOT NULL,
            held_at timestamptz NOT NULL,
            cost_fen bigint NOT NULL,
            fee_fen bigint NOT NULL,
            commission_fen bigint NOT NULL,
            PRIMARY KEY (club_id, activity_id, bucket)
        )
        """,
    )
    fold = (
        """
        INSERT INTO club (bucket, club_id, title, opens_on, opens_minute, closes_minute, tiers,
            important, capacity)
        SELECT bucket, club_id, title, opens_on, opens_minute, closes_minute,
            ARRAY(SELECT json_array_elements_text(tiers)), important, capacity
        FROM {club_opened} e
        """,
        """
        UPDATE club SET in_emergency = s.in_emergency, switched_at = s.occurred_at
        FROM (
            SELECT DISTINCT ON (club_id) bucket, club_id, occurred_at, in_emergency
            FROM (
                SELECT bucket, club_id, position, occurred_at, true AS in_emergency
                FROM {emergency_declared} d
                UNION ALL
                SELECT bucket, club_id, position, occurred_at, false FROM {emergency_ended} e
            ) switches
            ORDER BY club_id, occurred_at DESC, position DESC
        ) s
        WHERE club.club_id = s.club_id AND club.bucket = s.bucket
            AND (club.switched_at IS NULL OR club.switched_at <= s.occurred_at)
        """,
        """
        INSERT INTO service (bucket, club_id, service_id, price_version, title, points, tier_points,
            companion_points, free_visits, since)
        SELECT bucket, club_id, service_id, price_version, title, points, tier_points::jsonb,
            companion_points, free_visits::jsonb, occurred_at
        FROM {service_priced} e
        """,
        """
        DELETE FROM activity a USING {activity_held} e
        WHERE e.sign < 0 AND a.club_id = e.club_id AND a.activity_id = e.activity_id
            AND a.bucket = e.bucket
        """,
        """
        INSERT INTO activity (bucket, club_id, activity_id, title, held_at, cost_fen, fee_fen,
            commission_fen)
        SELECT bucket, club_id, activity_id, title, occurred_at, cost_fen, fee_fen, commission_fen
        FROM {activity_held} e WHERE sign > 0
        """,
    )


class Club(Answer):
    """A club, its days, hours and tiers."""

    club_id: str
    title: str
    opens_on: date
    opens_minute: int
    closes_minute: int
    tiers: list[str]
    important: bool
    capacity: int | None
    in_emergency: bool


class Price(Answer):
    """A service and what it costs, in points; a tier may have its own price."""

    service_id: str
    title: str
    price_version: int
    points: int
    tier_points: dict[str, int]
    companion_points: int
    free_visits: dict[str, int]
    since: datetime


class ClubCard(Club):
    """A club with its services and the prices in force."""

    services: list[Price]


def clubs(conn: Conn) -> list[Club]:
    """Every club."""
    cursor = conn.cursor(row_factory=class_row(Club))
    return cursor.execute(
        """
        SELECT club_id, title, opens_on, opens_minute, closes_minute, tiers, important, capacity,
            in_emergency
        FROM club ORDER BY club_id
        """
    ).fetchall()


def club(conn: Conn, club_id: ClubId) -> ClubCard | None:
    """A club with its services and the prices in force."""
    found = next((each for each in clubs(conn) if each.club_id == club_id), None)
    return None if found is None else ClubCard(**dict(found), services=prices(conn, club_id))


def prices(conn: Conn, club_id: str) -> list[Price]:
    """A club's services at the prices in force."""
    cursor = conn.cursor(row_factory=class_row(Price))
    return cursor.execute(
        """
        SELECT DISTINCT ON (service_id) service_id, title, price_version, points, tier_points,
            companion_points, free_visits, since
        FROM service WHERE club_id = %s ORDER BY service_id, since DESC, price_version DESC
        """,
        (club_id,),
    ).fetchall()


class Admission(Answer):
    """People who were let in during an emergency, and whether that was taken back."""

    admission: int
    occurred_at: datetime
    category: Category
    people: int
    corrected: bool


def admissions_at_desk(
    conn: Conn, club_id: str, desk: str, since: datetime, limit: int
) -> list[Admission]:
    """The admissions in emergencies at a desk from this instant on, the last first, those that were
    taken back among them."""
    table = typed_tables()[EmergencyAdmitted.topic]
    cursor = conn.cursor(row_factory=class_row(Admission))
    return cursor.execute(
        f"""
        SELECT admission, occurred_at, category, people, {table.corrected("e")} AS corrected
        FROM {table.name} e WHERE club_id = %s AND desk = %s AND occurred_at >= %s
        ORDER BY occurred_at DESC, bucket, position DESC LIMIT %s
        """,
        (club_id, desk, since, limit),
    ).fetchall()


named("club_id", UnknownClub)
named("service_id", UnknownService, "of any club")


# ----------------------------------------------------------------------------------- measures
OPENINGS = Rows(
    """
    SELECT bucket, club_id, opens_on, to_char(opens_on, 'YYYYMMDD')::bigint AS day
    FROM club_opened WHERE club_id = %(club_id)s AND occurred_at < %(end)s
    """,
    key=("club_id",),
    decided=("opens_on",),
    sums=("day",),
    events=(Events("club.opened", by=("club_id",)),),
    needs=(Need("club_id"),),
    what="A club, with the day on which it opens, if it had said so by the end of `on`.",
)
EMERGENCIES = Rows(
    f"""
    SELECT bucket, club_id, position, category, occurred_at, people, 1 AS admissions
    FROM {counted("visit.emergency_admitted")} e
    WHERE occurred_at >= %(start)s AND occurred_at < %(end)s
    """,
    key=("club_id", "position"),
    dims=("club_id", "category"),
    decided=("occurred_at",),
    sums=("people", "admissions"),
    events=(Events("visit.emergency_admitted", by=("club_id", "position")),),
    days=True,
    what="Admissions of people who are not members, while a club is in emergency mode.",
)
ACTIVITIES = Rows(
    """
    SELECT bucket, club_id, activity_id, title, held_at, 1 AS activities, cost_fen, fee_fen,
        commission_fen
    FROM activity WHERE held_at >= %(start)s AND held_at < %(end)s
    """,
    key=("club_id", "activity_id"),
    dims=("club_id", "activity_id"),
    decided=("title", "held_at"),
    sums=("activities", "cost_fen", "fee_fen", "commission_fen"),
    events=(Events("activity.held", by=("club_id", "activity_id")),),
    days=True,
    what="Activities that clubs held.",
)
ATTENDANCES = Rows(
    f"""
    SELECT bucket, member_id, club_id, activity_id, tier, held_at, 1 AS attendances
    FROM {counted("activity.attended")} e WHERE held_at >= %(start)s AND held_at < %(end)s
    """,
    key=("member_id", "club_id", "activity_id"),
    dims=("club_id", "activity_id", "tier"),
    decided=("held_at",),
    sums=("attendances",),
    events=(Events("activity.attended", by=("member_id", "club_id", "activity_id")),),
    days=True,
    what="Who took part in an activity, with the tier of that day.",
)

measure("clubs.opened_on", "Opened on", "开业日期", DAY, OPENINGS, "day",
        at_least=(("day", 1, "the club had not said so by then"),))  # fmt: skip
measure("clubs.emergency_people", "People admitted in an emergency", "应急接待人数", "people",
        EMERGENCIES, "people")  # fmt: skip
measure("clubs.activities", "Activities held", "俱乐部活动次数", "activities", ACTIVITIES,
        "activities")  # fmt: skip
measure("clubs.activity_cost", "Cost of activities", "俱乐部活动成本", "yuan", ACTIVITIES,
        "cost_fen / 100", digits=2)  # fmt: skip
measure("clubs.attendances", "Attendances at activities", "参加活动人次", "attendances",
        ATTENDANCES, "attendances")  # fmt: skip


closed("category", Category)
view(
    "clubs",
    "Every club.",
    """
    SELECT club_id, title, opens_on, opens_minute, closes_minute, tiers, important, capacity,
        in_emergency
    FROM club
    """,
    """
    club_id text
    title text
    opens_on date: its first day
    opens_minute bigint: when it opens, in minutes of the day
    closes_minute bigint: when it closes
    tiers text[]: for whom
    important boolean: whether for those who are marked so, too
    capacity bigint?: how many it holds
    in_emergency boolean: whether it lets in everybody
    """,
    key=("club_id",),
    same=("club_id", "in_emergency"),
    day="opens_on",
)
view(
    "services",
    "Every version of the price of a club's service.",
    """
    SELECT club_id, service_id, price_version, title, points, tier_points, companion_points,
        free_visits, since
    FROM service
    """,
    """
    club_id text
    service_id text
    price_version bigint: which version
    title text
    points bigint: what a visit costs
    tier_points jsonb: by tier, where it is something else
    companion_points bigint: for each who comes along
    free_visits jsonb: how many a year are free, by tier
    since timestamptz: from when it holds
    """,
    key=("club_id", "service_id", "price_version"),
    same=("club_id", "service_id"),
    day="since",
)


# ----------------------------------------------------------------------- the same in plain Python
@folded(ClubOpened)
def _club_opened(fold: ReferenceFold, at: Stored, event: ClubOpened) -> None:
    fold.add("club", (at.id,), bucket=at.bucket, club_id=at.id, title=event.title,
             opens_on=event.opens_on, opens_minute=event.opens_minute,
             closes_minute=event.closes_minute, tiers=list(event.tiers),
             important=event.important, capacity=event.capacity,
             in_emergency=False, switched_at=None)  # fmt: skip


@folded(EmergencyDeclared)
def _emergency_declared(fold: ReferenceFold, at: Stored, event: EmergencyDeclared) -> None:
    fold.latest(fold.row("club", at.id), "switched_at", event, in_emergency=True)


@folded(EmergencyEnded)
def _emergency_ended(fold: ReferenceFold, at: Stored, event: EmergencyEnded) -> None:
    fold.latest(fold.row("club", at.id), "switched_at", event, in_emergency=False)


@folded(ServicePriced)
def _service_priced(fold: ReferenceFold, at: Stored, event: ServicePriced) -> None:
    fold.add("service", (at.id, event.service_id, event.price_version), bucket=at.bucket,
             club_id=at.id, service_id=event.service_id, price_version=event.price_version,
             title=event.title, points=event.points, tier_points=dict(event.tier_points),
             companion_points=event.companion_points, free_visits=dict(event.free_visits),
             since=event.occurred_at)  # fmt: skip


@folded(ActivityHeld)
def _activity_held(fold: ReferenceFold, at: Stored, event: ActivityHeld, sign: int = 1) -> None:
    if sign < 0:
        del fold.tables["activity"][at.id, event.activity_id]
        return
    fold.add("activity", (at.id, event.activity_id), bucket=at.bucket, club_id=at.id,
             activity_id=event.activity_id, title=event.title, held_at=event.occurred_at,
             cost_fen=event.cost_fen, fee_fen=event.fee_fen,
             commission_fen=event.commission_fen)  # fmt: skip
