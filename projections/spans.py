"""Spans: the tiers of members through time; and in plain Python those of their units, too."""

from domain.members import MemberJoined, MemberMoved, MemberReturned, TierChanged
from projections.engine.projection import Projection
from projections.engine.reference import ReferenceFold, Row, Stored


class Spans(Projection):
    """A row a span of a tier."""

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
    )
    fold = (
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
def in_unit(
    fold: ReferenceFold, at: Stored, event: MemberJoined | MemberMoved | MemberReturned, sign: int
) -> Row:
    """A member belongs to a unit from then on, or to his next move; or that was wrong. Where he
    belongs now."""
    units = fold.of_members.setdefault(("units", at.id), [])
    if sign < 0:
        units.remove(fold.tables["unit_span"].pop((at.id, at.position)))
    else:
        row = fold.add("unit_span", (at.id, at.position), bucket=at.bucket, member_id=at.id,
                       position=at.position, unit_id=event.unit_id, since=event.occurred_at,
                       until=None)  # fmt: skip
        units.append(row)
    _link(units)
    return units[-1]


def in_tier(fold: ReferenceFold, at: Stored, event: TierChanged) -> None:
    """A member holds a tier from then on, or to the next change."""
    tiers = fold.of_members.setdefault(("tiers", at.id), [])
    row = fold.add("tier_span", (at.id, at.position), bucket=at.bucket, member_id=at.id,
                   position=at.position, tier=event.tier, unit_id=event.unit_id,
                   since=event.occurred_at, until=None, reason=event.reason)  # fmt: skip
    tiers.append(row)
    _link(tiers)


def _link(spans: list[Row]) -> None:
    """Put spans into their places, each to where the next begins."""
    spans.sort(key=lambda span: (span["since"], span["position"]))
    for span, following in zip(spans, [*spans[1:], None], strict=True):
        span["until"] = following and following["since"]
