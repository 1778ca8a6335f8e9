"""Doubts: facts that were decided by values other than those that are now known for their time.

A fact told late is judged by what was known of its own time when it came; another that comes later
still may change that: a tier before a visit, a price, a leaving before known visits. Nothing is
rewritten. What was copied into the fact is held here against what is in force at its instant by all
that is known; once they agree again, the doubt is gone.

It is a query over typed events and spans and no fold: a visit lies in the lane of its member and
its price in that of the club, and a fold reads one lane. Nor would a window do that holds neither.
"""

from datetime import datetime

from psycopg.rows import class_row
from pydantic import Field

from projections.engine.answer import Answer, Dated
from projections.engine.connection import Conn
from projections.engine.event_tables import counted
from projections.exceptions import excepted

_WITHIN = "{0}.since <= {1} AND ({0}.until IS NULL OR {1} < {0}.until)"
_UTC = """'YYYY-MM-DD"T"HH24:MI:SS.US"Z"'"""
LAST = (
    "({0} + 1)::timestamptz - interval '1 microsecond' - make_interval(hours =>"
    " ((({0} + 1)::timestamptz - interval '1 hour')::date > {0})::integer)"
)
"""The last instant of a day. Where clocks go back to midnight there are two; PostgreSQL means the
second, and the next day begins with the first."""

_TIMELINES = """
    marks AS MATERIALIZED (
        SELECT member_id, bucket, important, occurred_at AS since,
            lead(occurred_at) OVER (PARTITION BY member_id ORDER BY occurred_at, position) AS until
        FROM member_marked_important
    ),
    prices AS MATERIALIZED (
        SELECT club_id, service_id, price_version, since,
            lead(since) OVER told AS until
        FROM service
        WINDOW told AS (PARTITION BY club_id, service_id ORDER BY since, price_version)
    ),
    terms AS MATERIALIZED (
        SELECT campaign_id, terms_version, lead(since) OVER told AS until,
            CASE WHEN row_number() OVER told = 1 THEN '-infinity' ELSE since END AS since
        FROM campaign_terms WINDOW told AS (PARTITION BY campaign_id ORDER BY since, terms_version)
    ),
    emergencies AS MATERIALIZED (
        SELECT club_id, declared, occurred_at AS since,
            lead(occurred_at) OVER (PARTITION BY club_id ORDER BY occurred_at, position) AS until
        FROM (
            SELECT club_id, position, occurred_at, true AS declared FROM emergency_declared
            UNION ALL
            SELECT club_id, position, occurred_at, false FROM emergency_ended
        ) switches
    )
"""
_MEMBERS_FACT = "bucket, position, member_id, '{0}' AS topic, occurred_at, {1} AS at"
_VISITS = (
    "SELECT bucket, position, member_id, 'visit.recorded' AS topic, occurred_at,"
    " occurred_at AS at{}"
    " FROM visit WHERE undone_at IS NULL"
)
_INCLUDED = "least(occurred_at, " + LAST.format("taken_on") + ")"


def _facts(topic: str, at: str = "occurred_at", more: str = "") -> str:
    """The events of a topic, with the instant by which they are judged."""
    source = f"{counted(topic)} e"
    if topic == "cohort.included":
        source = f"(SELECT e.*, c.taken_on FROM {source} JOIN cohort c USING (cohort_id)) e"
    return f"SELECT {_MEMBERS_FACT.format(topic, at)}{more} FROM {source}"


_TIERED = " UNION ALL ".join(
    (
        _VISITS.format(", tier"),
        _facts("campaign.enrolled", more=", tier"),
        _facts("campaign.offered", more=", tier"),
        _facts("member.left", more=", tier"),
        _facts("activity.attended", "held_at", ", tier"),
        _facts("cohort.included", _INCLUDED, ", tier"),
    )
)
"""What copies the tier of its instant."""
_IN_UNIT = " UNION ALL ".join(
    (
        _VISITS.format(", unit_id"),
        _facts("campaign.enrolled", more=", unit_id"),
        _facts("binding.started", more=", unit_id"),
        _facts("tier.changed", more=", unit_id"),
        _facts("member.left", more=", unit_id"),
        _facts("cohort.included", _INCLUDED, ", unit_id"),
    )
)
"""What copies the unit of its instant."""
_ON_THE_NETWORK = " UNION ALL ".join(
    (
        _VISITS.format(""),
        _facts("points.credited"),
        _facts("points.carried_over"),
        f"{_facts('points.debited')} WHERE visit IS NULL",
        _facts("member.marked_important"),
        _facts("tier.changed"),
        _facts("member.moved"),
        _facts("campaign.offered"),
        _facts("campaign.enrolled"),
        _facts("binding.started"),
        _facts("binding.ended", LAST.format("ended_on")),
        _facts("activity.attended", "held_at"),
        _facts("cohort.included", _INCLUDED),
    )
)
"""What happens to members on the network alone. A visit's debit is taken back with it."""
_RUNNING = " UNION ALL ".join(
    _facts(topic, more=", campaign_id") for topic in ("campaign.offered", "campaign.enrolled")
)

_DIFFERENCES = {
    "tier": f"""
        SELECT f.bucket, f.position, 'member:' || f.member_id AS stream, f.topic, f.occurred_at,
            f.tier AS judged_by, s.tier AS holds
        FROM ({_TIERED}) f
        LEFT JOIN tier_span s ON s.member_id = f.member_id AND s.bucket = f.bucket
            AND {_WITHIN.format("s", "f.at")}
        WHERE s.tier IS DISTINCT FROM f.tier
    """,
    "tier_before": """
        SELECT bucket, position, 'member:' || member_id, 'tier.changed', occurred_at, from_tier,
            held
        FROM (
            SELECT *, lag(tier) OVER (PARTITION BY member_id ORDER BY occurred_at, position) AS held
            FROM tier_changed
        ) t
        WHERE held IS DISTINCT FROM from_tier
    """,
    "unit": f"""
        SELECT f.bucket, f.position, 'member:' || f.member_id, f.topic, f.occurred_at, f.unit_id,
            s.unit_id
        FROM (
            SELECT member_id, bucket FROM member_moved
            UNION SELECT member_id, bucket FROM member_returned  -- a few: of no other is it another
        ) m
        JOIN unit_span s USING (member_id, bucket)
        JOIN ({_IN_UNIT}) f ON f.member_id = s.member_id AND f.bucket = s.bucket
            AND {_WITHIN.format("s", "f.at")}
        WHERE s.unit_id <> f.unit_id
    """,
    "unit_before": """
        SELECT bucket, position, 'member:' || member_id, 'member.moved', occurred_at, from_unit_id,
            held
        FROM (
            SELECT m.bucket, m.position, m.member_id, m.occurred_at, m.from_unit_id, s.held
            FROM member_moved m JOIN (
                SELECT *, lag(unit_id) OVER (PARTITION BY member_id ORDER BY since, position)
                    AS held
                FROM unit_span
            ) s ON s.member_id = m.member_id AND s.bucket = m.bucket AND s.position = m.position
        ) m
        WHERE held <> from_unit_id
    """,
    "important": f"""
        SELECT v.bucket, v.position, 'member:' || v.member_id, 'visit.recorded', v.occurred_at,
            v.important::text, coalesce(m.important, false)::text
        FROM visit v
        LEFT JOIN marks m ON m.member_id = v.member_id AND m.bucket = v.bucket
            AND {_WITHIN.format("m", "v.occurred_at")}
        WHERE v.undone_at IS NULL AND v.important <> coalesce(m.important, false)
    """,
    "price": f"""
        SELECT v.bucket, v.position, 'member:' || v.member_id, 'visit.recorded', v.occurred_at,
            v.price_version::text, p.price_version::text
        FROM visit v
        LEFT JOIN prices p ON p.club_id = v.club_id AND p.service_id = v.service_id
            AND {_WITHIN.format("p", "v.occurred_at")}
        WHERE v.undone_at IS NULL AND p.price_version IS DISTINCT FROM v.price_version
    """,
    "terms": f"""
        SELECT e.bucket, e.position, 'member:' || e.member_id, 'campaign.enrolled', e.occurred_at,
            e.terms_version::text, t.terms_version::text
        FROM {counted("campaign.enrolled")} e
        LEFT JOIN terms t ON t.campaign_id = e.campaign_id
            AND {_WITHIN.format("t", "e.occurred_at")}
        WHERE t.terms_version IS DISTINCT FROM e.terms_version
    """,
    "arm": f"""
        SELECT e.bucket, e.position, 'member:' || e.member_id, 'campaign.enrolled', e.occurred_at,
            NULL, o.arm
        FROM {counted("campaign.enrolled")} e
        JOIN {counted("campaign.offered")} o ON o.member_id = e.member_id AND o.bucket = e.bucket
            AND o.campaign_id = e.campaign_id AND o.occurred_at <= e.occurred_at
        WHERE o.given AND o.arm = 'control'
    """,
    "bound": f"""
        SELECT e.bucket, e.position, 'member:' || e.member_id, 'campaign.enrolled', e.occurred_at,
            NULL, min(b.policy)
        FROM (
            SELECT *, occurred_at::date AS day FROM {counted("campaign.enrolled")} e
            WHERE excludes IS NOT NULL
        ) e
        LEFT JOIN binding own ON own.member_id = e.member_id AND own.bucket = e.bucket
            AND own.binding = e.binding
        JOIN {counted("binding.started")} s ON s.member_id = e.member_id AND s.bucket = e.bucket
            AND s.occurred_at < e.occurred_at
        JOIN binding b ON b.member_id = e.member_id AND b.bucket = e.bucket
            AND b.binding = s.binding
        WHERE e.excludes::jsonb ? b.policy AND e.day < b.until
            AND b.starts_on < greatest(e.day + 1, own.ends_on)
            AND NOT EXISTS (
                SELECT FROM absence a WHERE a.member_id = e.member_id AND a.bucket = e.bucket
                    AND a.left_at <= e.occurred_at AND a.returned_at::date > b.starts_on
            )
        GROUP BY 1, 2, 3, 4, 5
    """,
    "left": f"""
        SELECT f.bucket, f.position, 'member:' || f.member_id, f.topic, f.occurred_at, NULL,
            to_char(a.left_at AT TIME ZONE 'UTC', {_UTC})
        FROM absence a
        JOIN ({_ON_THE_NETWORK}) f ON f.member_id = a.member_id AND f.bucket = a.bucket
        WHERE a.left_at <= f.at AND (a.returned_at IS NULL OR f.at < a.returned_at)
    """,
    "closed": f"""
        SELECT f.bucket, f.position, 'member:' || f.member_id, f.topic, f.occurred_at, NULL,
            to_char(c.closed_at AT TIME ZONE 'UTC', {_UTC})
        FROM campaign c JOIN ({_RUNNING}) f USING (campaign_id)
        WHERE c.closed_at <= f.at
    """,
    "held": f"""
        SELECT e.bucket, e.position, 'member:' || e.member_id, 'activity.attended', e.occurred_at,
            to_char(e.held_at AT TIME ZONE 'UTC', {_UTC}),
            to_char(a.held_at AT TIME ZONE 'UTC', {_UTC})
        FROM {counted("activity.attended")} e LEFT JOIN activity a USING (club_id, activity_id)
        WHERE a.held_at IS DISTINCT FROM e.held_at
    """,
    "emergency": f"""
        SELECT f.bucket, f.position, f.stream, f.topic, f.at, 'true', 'false'
        FROM (
            SELECT bucket, position, 'admissions:' || club_id AS stream, club_id,
                'visit.emergency_admitted' AS topic, occurred_at AS at
            FROM {counted("visit.emergency_admitted")} e
            UNION ALL
            SELECT v.bucket, v.position, 'member:' || v.member_id, v.club_id, 'visit.recorded',
                v.occurred_at
            FROM visit v
            JOIN club c ON c.club_id = v.club_id
            CROSS JOIN LATERAL (
                SELECT v.occurred_at::time AS clock
            ) a
            CROSS JOIN LATERAL (
                SELECT 60 * extract(hour FROM clock) + extract(minute FROM clock) AS minute
            ) b
            WHERE v.undone_at IS NULL
                AND NOT (minute >= c.opens_minute AND minute < c.closes_minute)
        ) f
        LEFT JOIN emergencies d ON d.club_id = f.club_id AND {_WITHIN.format("d", "f.at")}
        WHERE d.declared IS NOT TRUE
    """,
}
"""By what the facts were judged: those for which that is another now."""
ABOUT = tuple(_DIFFERENCES)

_EXCUSED = {
    "terms": ("terms_are_newer",),
    "arm": ("in_control_group",),
    "closed": ("campaign_over",),
    "bound": ("already_bound",),
    "emergency": ("club_closed", "no_emergency"),
}
"""What is no doubt where a history says that it broke these very rules."""


def _doubted(about: str) -> str:
    excused = _EXCUSED.get(about)
    known = f" WHERE NOT {excepted('d', *excused)}" if excused else ""
    return f"SELECT d.*, '{about}' FROM ({_DIFFERENCES[about]}) d{known}"


_DOUBTS = f"""
    WITH {_TIMELINES}, doubts (bucket, position, stream, topic, occurred_at, judged_by, holds,
        about) AS (
        {" UNION ALL ".join(map(_doubted, ABOUT))}
    )
    SELECT bucket, position, stream, topic, occurred_at,
        json_agg(json_build_object('about', about, 'judged_by', judged_by, 'holds', holds)
            ORDER BY about) AS differences
    FROM doubts WHERE (bucket, position) > (%(bucket)s, %(position)s)
    GROUP BY 1, 2, 3, 4, 5 ORDER BY 1, 2 LIMIT %(limit)s
"""


class Judged(Answer):
    """A value by which a fact was judged, and the one that by now is known for its time."""

    about: str = Field(
        description="tier, tier_before, unit, unit_before, important, price, terms, arm, emergency;"
        " left: the member had left the network; closed: so was the campaign; held: so was the"
        " activity, then; bound: he was, by a policy that the campaign excludes",
        examples=["tier"],
    )
    judged_by: str | None = Field(description="null: none, or nothing was known of it")
    holds: str | None = Field(description="versions of prices and terms are told by number")


class Doubt(Answer):
    """A fact that was judged by other values than those that are now known for its time."""

    bucket: int
    position: int
    stream: str
    topic: str
    occurred_at: datetime
    differences: list[Judged]


class Doubts(Dated):
    """A page of the facts in doubt, in the order of the log."""

    doubts: list[Doubt]
    next: tuple[int, int] | None = Field(
        description="send it as `after=<bucket>:<position>` for the next page; null at the end"
    )


def doubts(
    conn: Conn, limit: int | None = None, after: tuple[int, int] | None = None
) -> list[Doubt]:
    """Facts in doubt in the order of the log, lane by lane, after (bucket, position)."""
    bucket, position = after or (-1, 0)
    cursor = conn.cursor(row_factory=class_row(Doubt))
    asked = {"bucket": bucket, "position": position, "limit": limit}
    return cursor.execute(_DOUBTS, asked).fetchall()


def page(conn: Conn, limit: int, after: tuple[int, int] | None = None) -> Doubts:
    """So many of them, and where the next page begins."""
    found = doubts(conn, limit + 1, after)
    last = found[limit - 1] if len(found) > limit else None
    return Doubts(doubts=found[:limit], next=None if last is None else (last.bucket, last.position))
