"""Spans: the tiers and units of members through time, and what they add to the days."""

from domain.members import MemberJoined, MemberMoved, TierChanged
from projections.engine.projection import Projection
from projections.engine.reference import ReferenceFold, Row, Stored


class Spans(Projection):
    """A row a span of a tier and of a unit."""

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
    )
    fold = (
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
    )


# ----------------------------------------------------------------------- the same in plain Python
def in_unit(fold: ReferenceFold, at: Stored, event: MemberJoined | MemberMoved) -> None:
    """A member belongs to a unit from then on, or to his next move."""
    row = fold.add("unit_span", (at.id, at.position), bucket=at.bucket, member_id=at.id,
                   position=at.position, unit_id=event.unit_id, since=event.occurred_at,
                   until=None)  # fmt: skip
    _in_its_place(fold.of_members.setdefault(("units", at.id), []), row)


def in_tier(fold: ReferenceFold, at: Stored, event: TierChanged) -> None:
    """A member holds a tier from then on, or to the next change."""
    row = fold.add("tier_span", (at.id, at.position), bucket=at.bucket, member_id=at.id,
                   position=at.position, tier=event.tier, unit_id=event.unit_id,
                   since=event.occurred_at, until=None, reason=event.reason)  # fmt: skip
    _in_its_place(fold.of_members.setdefault(("tiers", at.id), []), row)


def _in_its_place(spans: list[Row], row: Row) -> list[Row]:
    """The spans with one more, each to where the next begins."""
    spans.append(row)
    spans.sort(key=lambda span: (span["since"], span["position"]))
    for span, following in zip(spans, [*spans[1:], None], strict=True):
        span["until"] = following and following["since"]
    return spans
