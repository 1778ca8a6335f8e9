"""Spans: the tiers and units of members through time, and what they add to the days."""

from itertools import product

from domain.kernel.values import local_date
from domain.members import MemberJoined, MemberMoved, TierChanged
from projections.engine.projection import Projection
from projections.engine.reference import ReferenceFold, Row, Stored

_TURNS = """
    INSERT INTO tier_day (bucket, day, unit_id, tier, delta)
    SELECT s.bucket, c.at::date, u.unit_id, s.tier, sum(c.delta)
    FROM tier_span s
    JOIN unit_span u ON u.member_id = s.member_id AND u.bucket = s.bucket
        AND (s.until IS NULL OR u.since < s.until) AND (u.until IS NULL OR s.since < u.until)
    CROSS JOIN LATERAL (
        VALUES (greatest(s.since, u.since), {from_span}), (least(s.until, u.until), -({from_span}))
    ) c(at, delta)
    WHERE s.tier IS NOT NULL AND c.at IS NOT NULL
        AND (s.member_id, s.bucket) IN (
            SELECT member_id, bucket FROM {tier_changed} e
            UNION SELECT member_id, bucket FROM {member_moved} e
        )
    GROUP BY 1, 2, 3, 4
    ON CONFLICT (day, unit_id, tier, bucket) DO UPDATE SET delta = tier_day.delta + excluded.delta
"""
"""What the spans of the members whose tiers or units a window changes add to the days, put in or
taken out: a change told late moves the end of another."""
_SPANS = {name: f"{{{name}}}" for name in ("tier_changed", "member_moved")}


class Spans(Projection):
    """A row a span of a tier and of a unit, and what changed by day, unit and tier."""

    tables = (
        """
        CREATE TABLE tier_span (
            bucket smallint NOT NULL,
            member_id text NOT NULL,
            position bigint NOT NULL,
            tier text,
            unit_id text NOT NULL,
            since timestamptz NOT NULL,
            until timestamptz,
            reason text NOT NULL,
            PRIMARY KEY (member_id, position, bucket)
        ) WITH (fillfactor = 90)
        """,
        """
        CREATE TABLE unit_span (
            bucket smallint NOT NULL,
            member_id text NOT NULL,
            position bigint NOT NULL,
            unit_id text NOT NULL,
            since timestamptz NOT NULL,
            until timestamptz,
            PRIMARY KEY (member_id, position, bucket)
        ) WITH (fillfactor = 90)
        """,
        """
        CREATE TABLE tier_day (
            bucket smallint NOT NULL,
            day date NOT NULL,
            unit_id text NOT NULL,
            tier text NOT NULL,
            delta bigint NOT NULL,
            PRIMARY KEY (day, unit_id, tier, bucket)
        )
        """,
    )
    fold = (
        _TURNS.format(from_span=-1, **_SPANS),
        """
        INSERT INTO unit_span (bucket, member_id, position, unit_id, since)
        SELECT bucket, member_id, position, unit_id, occurred_at FROM {member_joined} e
        UNION ALL
        SELECT bucket, member_id, position, unit_id, occurred_at FROM {member_moved} e
        """,
        """
        UPDATE unit_span s SET until = t.until
        FROM (
            SELECT bucket, member_id, position,
                lead(since) OVER (PARTITION BY member_id ORDER BY since, position) AS until
            FROM unit_span
            WHERE (member_id, bucket) IN (SELECT member_id, bucket FROM {member_moved} e)
        ) t
        WHERE s.member_id = t.member_id AND s.position = t.position AND s.bucket = t.bucket
            AND s.until IS DISTINCT FROM t.until
        """,
        """
        INSERT INTO tier_span (bucket, member_id, position, tier, unit_id, since, until, reason)
        SELECT bucket, member_id, position, tier, unit_id, occurred_at,
            lead(occurred_at) OVER (PARTITION BY member_id ORDER BY occurred_at, position), reason
        FROM {tier_changed} e
        """,
        """
        UPDATE tier_span s SET until = t.until
        FROM (
            SELECT bucket, member_id, position,
                lead(since) OVER (PARTITION BY member_id ORDER BY since, position) AS until
            FROM tier_span
            WHERE (member_id, bucket) IN (SELECT member_id, bucket FROM {tier_changed} e)
        ) t
        WHERE s.member_id = t.member_id AND s.position = t.position AND s.bucket = t.bucket
            AND s.until IS DISTINCT FROM t.until
        """,
        _TURNS.format(from_span=1, **_SPANS),
        # A row that is zero only because of what was told in between would tell of the windows.
        "DELETE FROM tier_day WHERE delta = 0 AND (EXISTS (SELECT FROM {tier_changed} e)"
        " OR EXISTS (SELECT FROM {member_moved} e))",
    )


# ----------------------------------------------------------------------- the same in plain Python
def in_unit(fold: ReferenceFold, at: Stored, event: MemberJoined | MemberMoved) -> None:
    """A member belongs to a unit from then on, or to his next move."""
    _turns(fold, at.id, -1)
    row = fold.add("unit_span", (at.id, at.position), bucket=at.bucket, member_id=at.id,
                   position=at.position, unit_id=event.unit_id, since=event.occurred_at,
                   until=None)  # fmt: skip
    _in_its_place(fold.of_members.setdefault(("units", at.id), []), row)
    _turns(fold, at.id, 1)


def in_tier(fold: ReferenceFold, at: Stored, event: TierChanged) -> None:
    """A member holds a tier from then on, or to the next change."""
    _turns(fold, at.id, -1)
    row = fold.add("tier_span", (at.id, at.position), bucket=at.bucket, member_id=at.id,
                   position=at.position, tier=event.tier, unit_id=event.unit_id,
                   since=event.occurred_at, until=None, reason=event.reason)  # fmt: skip
    _in_its_place(fold.of_members.setdefault(("tiers", at.id), []), row)
    _turns(fold, at.id, 1)


def _in_its_place(spans: list[Row], row: Row) -> list[Row]:
    """The spans with one more, each to where the next begins."""
    spans.append(row)
    spans.sort(key=lambda span: (span["since"], span["position"]))
    for span, following in zip(spans, [*spans[1:], None], strict=True):
        span["until"] = following and following["since"]
    return spans


def _turns(fold: ReferenceFold, member_id: str, sign: int) -> None:
    """Put what the spans of a member add to the days in, or take it out; no row is left at zero."""
    days = fold.tables.setdefault("tier_day", {})
    tiers, units = (fold.of_members.get((of, member_id), []) for of in ("tiers", "units"))
    for span, unit in product(tiers, units):
        since = max(span["since"], unit["since"])
        until = min(filter(None, (span["until"], unit["until"])), default=None)
        if span["tier"] is None or (until is not None and until <= since):
            continue
        for instant, delta in ((since, sign), (until, -sign)):
            if instant is not None:
                key = {"bucket": span["bucket"], "day": local_date(instant),
                       "unit_id": unit["unit_id"], "tier": span["tier"]}  # fmt: skip
                fold.sum("tier_day", key, delta=delta)
                if not days[tuple(key.values())]["delta"]:
                    del days[tuple(key.values())]
