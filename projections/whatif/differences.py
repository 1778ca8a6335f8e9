"""What if: what a scenario would have changed, in sums, refusals, members and figures."""

from collections.abc import Mapping
from datetime import datetime
from decimal import Decimal
from typing import Any, TypeAlias

from psycopg.rows import class_row
from pydantic import Field

from domain.kernel.values import local_date
from domain.simulation.scenario import Scenario
from projections.engine.answer import Answer, Number
from projections.engine.building import Report
from projections.engine.connection import Conn
from projections.engine.event_tables import counted
from projections.engine.postings import BALANCE, SUMS
from projections.engine.ratio import rounded
from projections.engine.schemas import LIVE
from projections.figures.derivations import DERIVE
from projections.figures.derivations import Report as At
from projections.figures.report import reported
from projections.whatif.overlay import recorded, suppose

Sums: TypeAlias = dict[tuple[str, str | None, str], int]
"""By (subject, key, measure); the key null is the total of the subject."""

_LEFT = f"{BALANCE} > 0 AND (expires_at IS NULL OR expires_at > %(at)s)"
MEASURES: Mapping[str, str] = {
    "points": f"""
        SELECT coalesce(m.tier, 'none'), sum({SUMS["credited"]}) AS credited,
            sum({SUMS["debited"]}) AS debited,
            sum({BALANCE} + {SUMS["expired"]} - coalesce(l.left, 0)) AS expired,
            sum({SUMS["reversed"]}) AS reversed, sum(coalesce(l.left, 0)) AS outstanding
        FROM account a
        JOIN member m ON m.member_id = a.member_id AND m.bucket = a.bucket
        LEFT JOIN (
            SELECT bucket, member_id, sum({BALANCE}) AS left FROM lot WHERE {_LEFT} GROUP BY 1, 2
        ) l ON l.member_id = a.member_id AND l.bucket = a.bucket
        GROUP BY 1
    """,
    "visits_by_club": """
        SELECT club_id, sum(visits) AS visits, sum(companions) AS companions, sum(points) AS points,
            sum(free_visits) AS free_visits
        FROM club_use GROUP BY 1
    """,
    "visits_by_tier": """
        SELECT coalesce(tier, 'none'), sum(visits) AS visits, sum(companions) AS companions,
            sum(points) AS points, sum(free_visits) AS free_visits
        FROM club_use GROUP BY 1
    """,
    "campaigns": """
        SELECT campaign_id, sum(participants) AS participants, sum(prepaid_fen) AS prepaid_fen,
            sum(gift_fen) AS gift_fen
        FROM campaign_use GROUP BY 1
    """,
    "bindings": """
        SELECT policy, count(*) AS bound FROM binding JOIN member USING (member_id, bucket)
        WHERE starts_on <= %(on)s AND until > %(on)s AND left_at IS NULL GROUP BY 1
    """,
    "members": """
        SELECT coalesce(tier, 'none'), count(*) AS on_the_network FROM member
        WHERE left_at IS NULL GROUP BY 1
    """,
}
"""By subject: a key, and sums that add up over the keys. Points that have lapsed by then count as
expired, whether or not that is written down yet."""


class Difference(Answer):
    """A sum as it is and as it would be."""

    subject: str = Field(
        description="points (by tier), liability (by tier), visits_by_club, visits_by_tier,"
        " campaigns, bindings (by policy), members (by tier)"
    )
    key: str | None = Field(description="which club, tier, campaign or policy; null is the total")
    measure: str
    recorded: int
    supposed: int
    difference: int


class FigureDifference(Answer):
    """A figure of the report that would come out otherwise; null is not computable."""

    figure_id: str
    title: str
    unit: str
    recorded: Number | None
    supposed: Number | None


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
    sums: list[Difference]
    figures: list[FigureDifference] = Field(description="those that would come out otherwise")
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
        sums, figures = _sums(conn, scenario, at), _derived(conn)
        replayed = suppose(conn, scenario, report)
        supposed_sums, supposed_figures = _sums(conn, scenario, at), _derived(conn)
        members, affected = _affected(conn, at, limit, skip)
        return WhatIf(
            effective_at=at,
            positions=replayed.positions,
            replayed_members=replayed.members,
            sums=[
                _difference(name, sums.get(name, 0), supposed_sums.get(name, 0))
                for name in sorted({**sums, **supposed_sums}, key=_in_order)
            ],
            figures=[
                FigureDifference(
                    figure_id=entry.id,
                    title=entry.title,
                    unit=entry.unit,
                    recorded=figures[name],
                    supposed=supposed_figures[name],
                )
                for name, entry in reported()[1].items()
                if figures.get(name) != supposed_figures.get(name)
            ],
            refusals=_refusals(conn),
            refused=_refused(conn, limit, skip),
            affected_members=members,
            affected=affected,
        )


def _sums(conn: Conn, scenario: Scenario, at: datetime) -> Sums:
    """Every measure by key and in total, and what the points outstanding are worth if that is said:
    in whole fen, rounded down."""
    found: Sums = {}
    for subject, text in MEASURES.items():
        cursor = conn.execute(text, {"at": at, "on": local_date(at)})
        names = [column.name for column in cursor.description or ()][1:]
        for key, *values in sorted(cursor):
            for name, value in zip(names, values, strict=True):
                found[subject, key, name] = int(value)
                found[subject, None, name] = found.get((subject, None, name), 0) + int(value)
    value = scenario.fen_per_1000_points
    if value is not None:
        outstanding = {name: points for name, points in found.items() if name[2] == "outstanding"}
        for (_, key, _), points in outstanding.items():
            found["liability", key, "fen"] = points * value // 1000
    return found


def _difference(name: tuple[str, str | None, str], recorded: int, supposed: int) -> Difference:
    subject, key, measure = name
    return Difference(
        subject=subject,
        key=key,
        measure=measure,
        recorded=recorded,
        supposed=supposed,
        difference=supposed - recorded,
    )


def _in_order(name: tuple[str, str | None, str]) -> tuple[str, bool, str]:
    """By subject and key, the total last; measures as they come."""
    subject, key, _ = name
    return subject, key is None, key or ""


def _derived(conn: Conn) -> dict[str, Decimal | None]:
    """The figures of the report at its own date."""
    printed_on, entries = reported()
    at = At(conn, printed_on)
    found = {name: (entries[name], derive(at).value) for name, derive in DERIVE.items()}
    return {
        name: None if value is None else rounded(value, entry.digits)
        for name, (entry, value) in found.items()
    }


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
