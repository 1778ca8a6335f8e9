"""Free visits a calendar year, by club and service: what a tier grants and what was used of it."""

from datetime import date, datetime

from psycopg.rows import class_row
from pydantic import Field

from domain.kernel.values import Tier, local_date, start_of
from projections.engine.answer import Answer
from projections.engine.connection import Conn


class FreeVisits(Answer):
    """The free visits of a calendar year that a member has of a service, by his tier."""

    club_id: str
    service_id: str
    year: int
    granted: int = Field(description="by the tier that he holds, at the price in force")
    used: int
    left: int


def free_visits(conn: Conn, member_id: str, tier: Tier | None, at: datetime) -> list[FreeVisits]:
    """Those of the year of this instant, of each service that grants some or gave some."""
    year = local_date(at).year
    cursor = conn.cursor(row_factory=class_row(FreeVisits))
    return cursor.execute(
        """
        SELECT club_id, service_id, %(year)s::int AS year, coalesce(granted, 0) AS granted,
            coalesce(used, 0) AS used,
            greatest(coalesce(granted, 0) - coalesce(used, 0), 0) AS left
        FROM (
            SELECT DISTINCT ON (club_id, service_id) club_id, service_id,
                (free_visits ->> %(tier)s::text)::bigint AS granted
            FROM service WHERE since <= %(at)s
            ORDER BY club_id, service_id, since DESC, price_version DESC
        ) p
        FULL JOIN (
            SELECT club_id, service_id, count(*) AS used FROM visit
            WHERE member_id = %(member_id)s AND payment = 'free_visit' AND undone_at IS NULL
                AND occurred_at >= %(begins)s AND occurred_at < %(ends)s
            GROUP BY 1, 2
        ) u USING (club_id, service_id)
        WHERE granted > 0 OR used > 0 ORDER BY club_id, service_id
        """,
        {
            "member_id": member_id,
            "tier": tier,
            "at": at,
            "year": year,
            "begins": start_of(date(year, 1, 1)),
            "ends": start_of(date(year + 1, 1, 1)),
        },
    ).fetchall()
