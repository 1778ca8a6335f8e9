"""Clubs: what they offer, who came, what it cost in points, and what happened beside visits."""

from dataclasses import dataclass
from datetime import date, datetime
from typing import Literal

from psycopg.rows import class_row

from projections.connection import Conn
from projections.projection import Projection
from projections.visits import Reception, Use, VisitRow, reception, use, visits


class Clubs(Projection):
    """A row a club, a row a version of a price, emergencies by day, activities."""

    tables = (
        """
        CREATE TABLE club (
            bucket smallint NOT NULL,
            club text NOT NULL,
            title text NOT NULL,
            opens_on date NOT NULL,
            opens_minute bigint NOT NULL,
            closes_minute bigint NOT NULL,
            tiers text[] NOT NULL,
            important boolean NOT NULL,
            capacity bigint,
            in_emergency boolean NOT NULL DEFAULT false,
            switched_at timestamptz,
            PRIMARY KEY (club, bucket)
        )
        """,
        """
        CREATE TABLE service (
            bucket smallint NOT NULL,
            club text NOT NULL,
            service text NOT NULL,
            version bigint NOT NULL,
            title text NOT NULL,
            points bigint NOT NULL,
            tier_points jsonb NOT NULL,
            companion_points bigint NOT NULL,
            free_visits jsonb NOT NULL,
            since timestamptz NOT NULL,
            PRIMARY KEY (club, service, version, bucket)
        )
        """,
        """
        CREATE TABLE emergency_use (
            bucket smallint NOT NULL,
            club text NOT NULL,
            day date NOT NULL,
            category text NOT NULL,
            admissions bigint NOT NULL,
            people bigint NOT NULL,
            PRIMARY KEY (club, day, category, bucket)
        )
        """,
        """
        CREATE TABLE activity (
            bucket smallint NOT NULL,
            club text NOT NULL,
            activity text NOT NULL,
            title text NOT NULL,
            held_at timestamptz NOT NULL,
            cost_fen bigint NOT NULL,
            fee_fen bigint NOT NULL,
            commission_fen bigint NOT NULL,
            PRIMARY KEY (club, activity, bucket)
        )
        """,
        """
        CREATE TABLE activity_use (
            bucket smallint NOT NULL,
            club text NOT NULL,
            activity text NOT NULL,
            tier text,
            attendances bigint NOT NULL,
            UNIQUE NULLS NOT DISTINCT (club, activity, tier, bucket)
        )
        """,
    )
    fold = (
        """
        INSERT INTO club (bucket, club, title, opens_on, opens_minute, closes_minute, tiers,
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
        WHERE club.club = s.club_id AND club.bucket = s.bucket
            AND (club.switched_at IS NULL OR club.switched_at <= s.occurred_at)
        """,
        """
        INSERT INTO service (bucket, club, service, version, title, points, tier_points,
            companion_points, free_visits, since)
        SELECT bucket, club_id, service, price_version, title, points, tier_points::jsonb,
            companion_points, free_visits::jsonb, occurred_at
        FROM {service_priced} e
        """,
        """
        INSERT INTO emergency_use (bucket, club, day, category, admissions, people)
        SELECT bucket, club_id, (occurred_at AT TIME ZONE 'Asia/Shanghai')::date, category,
            count(*), sum(people)
        FROM {visit_emergency_admitted} e
        GROUP BY 1, 2, 3, 4
        ON CONFLICT (club, day, category, bucket) DO UPDATE
        SET admissions = emergency_use.admissions + excluded.admissions,
            people = emergency_use.people + excluded.people
        """,
        """
        INSERT INTO activity (bucket, club, activity, title, held_at, cost_fen, fee_fen,
            commission_fen)
        SELECT bucket, club_id, activity, title, occurred_at, cost_fen, fee_fen, commission_fen
        FROM {activity_held} e
        """,
        """
        INSERT INTO activity_use (bucket, club, activity, tier, attendances)
        SELECT bucket, club, activity, tier, sum(sign) FROM {activity_attended} e
        GROUP BY 1, 2, 3, 4
        ON CONFLICT (club, activity, tier, bucket) DO UPDATE
        SET attendances = activity_use.attendances + excluded.attendances
        """,
        "DELETE FROM activity_use WHERE attendances = 0"
        " AND EXISTS (SELECT FROM {activity_attended} e WHERE sign < 0)",
    )


@dataclass(frozen=True, slots=True)
class Club:
    """A club, its hours and whom it admits."""

    club: str
    title: str
    opens_on: date
    opens_minute: int
    closes_minute: int
    tiers: list[str]
    important: bool
    capacity: int | None
    in_emergency: bool


@dataclass(frozen=True, slots=True)
class ServicePrice:
    """What a service costs now, and since when."""

    service: str
    title: str
    version: int
    points: int
    tier_points: dict[str, int]
    companion_points: int
    free_visits: dict[str, int]
    since: datetime


@dataclass(frozen=True, slots=True)
class Emergency:
    """People let in who are not members, by club, month and category."""

    club: str
    month: date
    category: Literal["elderly", "child", "other"]
    admissions: int
    people: int


@dataclass(frozen=True, slots=True)
class Activity:
    """An activity of a club and how many took part."""

    club: str
    activity: str
    title: str
    held_at: datetime
    cost_fen: int
    fee_fen: int
    commission_fen: int
    attendances: int


def clubs(conn: Conn) -> list[Club]:
    """All clubs, by their id."""
    cursor = conn.cursor(row_factory=class_row(Club))
    return cursor.execute(
        """
        SELECT club, title, opens_on, opens_minute, closes_minute, tiers, important, capacity,
            in_emergency
        FROM club ORDER BY club
        """
    ).fetchall()


def prices(conn: Conn, club: str) -> list[ServicePrice]:
    """A club's services at the prices in force."""
    cursor = conn.cursor(row_factory=class_row(ServicePrice))
    return cursor.execute(
        """
        SELECT DISTINCT ON (service) service, title, version, points, tier_points,
            companion_points, free_visits, since
        FROM service WHERE club = %s ORDER BY service, since DESC, version DESC
        """,
        (club,),
    ).fetchall()


def emergencies(conn: Conn, first: date, last: date, club: str | None = None) -> list[Emergency]:
    """Emergency admissions on the days first..last, which count apart from visits of members."""
    cursor = conn.cursor(row_factory=class_row(Emergency))
    return cursor.execute(
        """
        SELECT club, date_trunc('month', day::timestamp)::date AS month, category,
            sum(admissions)::bigint AS admissions, sum(people)::bigint AS people
        FROM emergency_use
        WHERE day BETWEEN %(first)s AND %(last)s AND (%(club)s::text IS NULL OR club = %(club)s)
        GROUP BY 1, 2, 3 ORDER BY 1, 2, 3
        """,
        {"first": first, "last": last, "club": club},
    ).fetchall()


def activities(conn: Conn, club: str | None = None) -> list[Activity]:
    """Activities with their attendances, earliest first."""
    cursor = conn.cursor(row_factory=class_row(Activity))
    return cursor.execute(
        """
        SELECT club, activity, title, held_at, cost_fen, fee_fen, commission_fen,
            coalesce(u.attendances, 0)::bigint AS attendances
        FROM activity a
        LEFT JOIN (
            SELECT club, activity, sum(attendances) AS attendances FROM activity_use
            GROUP BY 1, 2
        ) u USING (club, activity)
        WHERE %(club)s::text IS NULL OR club = %(club)s ORDER BY held_at, club, activity
        """,
        {"club": club},
    ).fetchall()


__all__ = [
    "Activity",
    "Club",
    "Clubs",
    "Emergency",
    "Reception",
    "ServicePrice",
    "Use",
    "VisitRow",
    "activities",
    "clubs",
    "emergencies",
    "prices",
    "reception",
    "use",
    "visits",
]
