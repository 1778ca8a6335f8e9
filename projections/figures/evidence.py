"""The events behind a figure: how many there are, and where the log holds them."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any

from psycopg.rows import class_row
from pydantic import Field

from domain.kernel.values import start_of
from projections.cohorts import LOW_SPEND_FEN
from projections.engine.answer import Answer
from projections.engine.connection import Conn, streaming
from projections.engine.days import end_of
from projections.engine.event_tables import counted, typed_tables


class EventRef(Answer):
    """Where the log holds an event."""

    bucket: int
    position: int
    stream: str
    topic: str
    occurred_at: datetime
    rule: str | None = Field(
        description="what decided it: a version of a price or of terms, or a policy",
        examples=["terms spring 1"],
    )


@dataclass(frozen=True, slots=True)
class Evidence:
    """A set of events: topics and conditions; and why it holds more of them than the figure says,
    where it does."""

    parts: tuple[tuple[str, str], ...]
    why_more: str = ""


def _set(*parts: tuple[str, str], why_more: str = "") -> Evidence:
    return Evidence(parts, why_more)


KNOWN = "occurred_at < %(end)s"
"""Of all that had happened by the date."""
YEAR = "occurred_at >= %(start)s AND occurred_at < %(end)s"
"""Of what happened in the year up to the date."""
_OF_CAMPAIGNS = f"campaign_id = ANY (%(campaigns)s) AND {KNOWN}"
_OF_COHORT = (
    "EXISTS (SELECT FROM cohort_member c WHERE c.cohort_id = %(cohort_id)s"
    " AND c.member_id = e.member_id AND c.bucket = e.bucket)"
)

EVIDENCE: dict[str, Evidence] = {
    "tiers": _set(
        ("tier.changed", KNOWN),
        why_more="Every change of tier up to the date, the later ones of the same customer too",
    ),
    "on_net": _set(
        ("tier.changed", KNOWN),
        ("member.left", f"{KNOWN} AND tier IS NOT NULL"),
        why_more="Every change of tier up to the date, and the VIP customers who left",
    ),
    "retention": _set(
        ("cohort.included", "cohort_id = %(cohort_id)s"),
        ("member.left", f"{KNOWN} AND {_OF_COHORT}"),
        (
            "bill.issued",
            f"month BETWEEN %(first_month)s AND %(last_month)s AND amount_fen < {LOW_SPEND_FEN}"
            f" AND {_OF_COHORT}",
        ),
        why_more="All who are in the cohort, those of them who left, and each of their bills"
        " below 50 yuan",
    ),
    "health_opened": _set(("club.opened", f"club_id = 'health' AND {KNOWN}")),
    "health_visits": _set(
        ("visit.recorded", f"club_id = 'health' AND {KNOWN}"),
        ("visit.undone", "club_id = 'health' AND visited_at < %(end)s"),
        why_more="The visits that were undone count twice: once recorded, once undone",
    ),
    "lounge_visits": _set(
        ("visit.recorded", f"club_id = 'lounge' AND tier IS NOT NULL AND {YEAR}"),
        (
            "visit.undone",
            "club_id = 'lounge' AND visited_at >= %(start)s AND visited_at < %(end)s"
            " AND EXISTS (SELECT FROM visit v WHERE v.member_id = e.member_id"
            " AND v.visit = e.visit AND v.bucket = e.bucket AND v.tier IS NOT NULL)",
        ),
        why_more="All visits of VIPs in the year; those that were undone count twice: once"
        " recorded, once undone",
    ),
    "lounge_emergency": _set(
        ("visit.emergency_admitted", f"club_id = 'lounge' AND {YEAR}"),
        why_more="Each lets in one person or several",
    ),
    "car_activities": _set(("activity.held", f"club_id = 'car' AND {YEAR}")),
    "car_attendance": _set(
        ("activity.attended", "club_id = 'car' AND held_at >= %(start)s AND held_at < %(end)s"),
    ),
    "enrolments": _set(("campaign.enrolled", _OF_CAMPAIGNS)),
    "offers": _set(
        ("campaign.offered", _OF_CAMPAIGNS),
        ("campaign.enrolled", _OF_CAMPAIGNS),
        why_more="The offers (to those drawn into the control group, too) and the enrolments",
    ),
    "binding_base": _set(("cohort.included", "cohort_id = %(cohort_id)s")),
    "binding": _set(
        ("cohort.included", "cohort_id = %(cohort_id)s"),
        ("binding.started", f"starts_on <= %(on)s AND {_OF_COHORT}"),
        ("binding.ended", f"ended_on <= %(on)s AND {_OF_COHORT}"),
        ("member.left", f"{KNOWN} AND {_OF_COHORT}"),
        why_more="All who are on the base, each start of a binding of theirs up to the date, each"
        " end, and those who left; who was bound twice has several",
    ),
}
"""Of bills, those that decide: the low ones."""


RULES = {
    "visit.recorded": ("'price ' || club_id || '/' || service_id || ' ' || price_version", ""),
    "campaign.enrolled": ("'terms ' || campaign_id || ' ' || terms_version", ""),
    "binding.started": (
        "coalesce('terms ' || campaign_id || ' ' || of_terms, 'policy ' || policy)",
        # The enrolment of the same command, under other names than those of the conditions.
        " LEFT JOIN (SELECT member_id AS of_member, campaign_id AS into_campaign,"
        " occurred_at AS enrolled_at, terms_version AS of_terms"
        f" FROM {counted('campaign.enrolled')} enrolments) n"
        " ON of_member = e.member_id AND into_campaign = e.campaign_id"
        " AND enrolled_at = e.occurred_at",
    ),
}
"""What decided an event, and whom to ask for it beside its own typed table."""


def bounds(on: date) -> dict[str, Any]:
    """The days of the year up to a date, for the conditions."""
    return {
        "on": on,
        "start": start_of(on.replace(month=1, day=1)),
        "end": end_of(on),
        "first_month": f"{on:%Y}-01",
        "last_month": f"{on:%Y-%m}",
    }


def count(conn: Conn, evidence: str, given: Mapping[str, Any]) -> int:
    """How many events a set holds."""
    parts = " UNION ALL ".join(
        f"SELECT count(*) AS n FROM {counted(topic)} e WHERE {condition}"
        for topic, condition in EVIDENCE[evidence].parts
    )
    (found,) = conn.execute(f"SELECT sum(n)::bigint FROM ({parts}) parts", given).fetchone() or (0,)
    return int(found)


def page(
    conn: Conn,
    evidence: str,
    given: Mapping[str, Any],
    limit: int,
    after: tuple[int, int] | None = None,
) -> list[EventRef]:
    """Events of a set in the order of the log, lane by lane, after (bucket, position)."""
    bucket, position = after or (-1, 0)
    cursor = conn.cursor(row_factory=class_row(EventRef))
    asked = {**given, "bucket": bucket, "position": position, "limit": limit}
    return cursor.execute(_listed(evidence), asked).fetchall()


@contextmanager
def whole(conn: Conn, evidence: str, given: Mapping[str, Any]) -> Iterator[Iterator[EventRef]]:
    """All events of a set, fetched as they are asked for. Only within a transaction."""
    with streaming(conn, class_row(EventRef)) as cursor:
        everything = {**given, "bucket": -1, "position": 0, "limit": None}
        yield iter(cursor.execute(_listed(evidence), everything))


def _listed(evidence: str) -> str:
    parts = []
    for topic, condition in EVIDENCE[evidence].parts:
        table = typed_tables()[topic]
        rule, beside = RULES.get(topic, ("NULL::text", ""))
        parts.append(
            f"(SELECT bucket, position, '{table.stream}:' || {table.id_column} AS stream,"
            f" '{topic}' AS topic, occurred_at, {rule} AS rule"
            f" FROM {table.counted} e{beside}"
            f" WHERE {condition} AND (bucket, position) > (%(bucket)s, %(position)s)"
            " ORDER BY bucket, position LIMIT %(limit)s)"
        )
    return (
        f"SELECT * FROM ({' UNION ALL '.join(parts)}) parts"
        " ORDER BY bucket, position LIMIT %(limit)s"
    )
