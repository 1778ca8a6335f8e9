"""What if: what a scenario would have changed, in measures, refusals and members."""

from collections.abc import Iterator
from datetime import date, datetime
from typing import Any

from psycopg.rows import class_row
from pydantic import Field

from domain.kernel.values import FIRST_YEAR, local_date
from domain.simulation.scenario import Scenario
from projections.engine.answer import Answer
from projections.engine.building import Report
from projections.engine.connection import Conn
from projections.engine.event_tables import counted
from projections.engine.measure import MeasureChange, Measured, changes, overview
from projections.engine.postings import BALANCE
from projections.engine.schemas import LIVE
from projections.whatif.overlay import recorded, suppose

_LEFT = f"{BALANCE} > 0 AND (expires_at IS NULL OR expires_at > %(at)s)"


class Refusals(Answer):
    """How many recorded commands would have been refused: by name, reason and tier."""

    command: str
    code: str
    tier: str | None
    count: int


class Refusal(Answer):
    """A recorded command that would have been refused; where its first event stands that is no
    expiry."""

    bucket: int
    position: int
    member_id: str
    command: str
    code: str
    tier: str | None
    numbers: dict[str, Any]


class Affected(Answer):
    """A member for whom something would be otherwise. Points are those that have not lapsed."""

    member_id: str
    tier: str | None
    supposed_tier: str | None
    points: int
    supposed_points: int
    gift_fen: int
    supposed_gift_fen: int
    refusals: int


class WhatIf(Answer):
    """What a scenario would have changed, in the history up to these positions."""

    effective_at: datetime = Field(description="points, bindings and tiers are those of this time")
    positions: dict[int, int] = Field(description="by bucket")
    replayed_members: int = Field(description="whom a change touches")
    measures: list[MeasureChange] = Field(
        description="those that would come out otherwise, in all and by parts of their rows;"
        " `before` is as it is recorded, `after` as it would be"
    )
    refusals: list[Refusals]
    refused: list[Refusal] = Field(description="a page of them, oldest first")
    affected_members: int
    affected: list[Affected] = Field(description="a page of them, most affected first")


def what_if(
    dsn: str,
    scenario: Scenario,
    at: datetime,
    limit: int = 50,
    skip: int = 0,
    report: Report | None = None,
    **how: Any,
) -> WhatIf:
    """The history under a scenario against the history, points and bindings as they stand at `at`.

    Of the members affected and of the refusals, `limit` after the first `skip`; members most
    affected first; `how` is what `recorded` takes. Raises UnknownClub, UnknownService and
    UnknownCampaign.
    """
    with recorded(dsn, **how) as conn:
        before = list(_measures(conn, scenario, at))
        replayed = suppose(conn, scenario, report)
        after = list(_measures(conn, scenario, at))
        members, affected = _affected(conn, at, limit, skip)
        return WhatIf(
            effective_at=at,
            positions=replayed.positions,
            replayed_members=replayed.members,
            measures=changes(before, after),
            refusals=_refusals(conn),
            refused=_refused(conn, limit, skip),
            affected_members=members,
            affected=affected,
        )


def _measures(conn: Conn, scenario: Scenario, at: datetime) -> Iterator[Measured]:
    """Every measure of all days up to that one, in all and by parts."""
    value = scenario.fen_per_1000_points
    said = {"first": date(FIRST_YEAR, 1, 1), "fen_per_1000": value or 0}
    return overview(conn, local_date(at), groups=True, said=said)


def _refusals(conn: Conn) -> list[Refusals]:
    cursor = conn.cursor(row_factory=class_row(Refusals))
    return cursor.execute(
        "SELECT command, code, tier, count(*) AS count FROM refused"
        " GROUP BY 1, 2, 3 ORDER BY 4 DESC, 1, 2, 3"
    ).fetchall()


def _refused(conn: Conn, limit: int, skip: int) -> list[Refusal]:
    cursor = conn.cursor(row_factory=class_row(Refusal))
    return cursor.execute(
        "SELECT bucket, position, member_id, command, code, tier, numbers FROM refused"
        " ORDER BY position, bucket LIMIT %s OFFSET %s",
        (limit, skip),
    ).fetchall()


def _affected(conn: Conn, at: datetime, limit: int, skip: int) -> tuple[int, list[Affected]]:
    """How many they are, and a page of them."""
    points = f"SELECT bucket, member_id, sum({BALANCE})::bigint AS n FROM {{}}lot WHERE {_LEFT}"
    gifts = "SELECT bucket, member_id, sum(gift_fen)::bigint AS n FROM {} enrolments"
    enrolments = counted("campaign.enrolled")
    sources = {
        "points": points.format(f"{LIVE.answers}."),
        "supposed_points": points.format(""),
        "gift_fen": gifts.format(enrolments.replace("FROM ", f"FROM {LIVE.typed}.")),
        "supposed_gift_fen": gifts.format(enrolments),
        "refusals": "SELECT bucket, member_id, count(*) AS n FROM refused",
    }
    columns = ", ".join(f"coalesce({name}.n, 0) AS {name}" for name in sources)
    joins = " ".join(
        f"LEFT JOIN ({text} GROUP BY 1, 2) {name} USING (bucket, member_id)"
        for name, text in sources.items()
    )
    conn.execute(
        f"""
        CREATE TEMPORARY TABLE affected AS
        SELECT member_id, r.tier, s.tier AS supposed_tier, {columns}
        FROM touched
        JOIN {LIVE.answers}.member r USING (bucket, member_id)
        JOIN member s USING (bucket, member_id)
        {joins}
        """,
        {"at": at},
    )
    differs = (
        "points <> supposed_points OR gift_fen <> supposed_gift_fen OR refusals > 0"
        " OR tier IS DISTINCT FROM supposed_tier"
    )
    (number,) = conn.execute(f"SELECT count(*) FROM affected WHERE {differs}").fetchone() or (0,)
    cursor = conn.cursor(row_factory=class_row(Affected))
    page = cursor.execute(
        f"""
        SELECT * FROM affected WHERE {differs}
        ORDER BY abs(supposed_points - points) DESC, abs(supposed_gift_fen - gift_fen) DESC,
            refusals DESC, member_id
        LIMIT %s OFFSET %s
        """,
        (limit, skip),
    ).fetchall()
    return int(number), page
