"""Enrolments and offers: who was drawn for a campaign, and who took part."""

from domain.enrolments import Arm
from projections.engine.event_tables import counted
from projections.engine.names import closed
from projections.engine.views import view
from projections.members import ON_NETWORK

closed("arm", Arm)
view(
    "enrolments",
    "Every enrolment in a campaign that counts.",
    f"""
    SELECT bucket, position, member_id, campaign_id, occurred_at, tier, unit_id, terms_version,
        prepaid_fen, gift_fen, months_bound, min_monthly_fen, binding, actor
    FROM {counted("campaign.enrolled")} e
    """,
    """
    bucket smallint
    position bigint
    member_id text
    campaign_id text
    occurred_at timestamptz
    tier text?
    unit_id text
    terms_version bigint: the version of the terms
    prepaid_fen bigint: what he prepaid
    gift_fen bigint: what he was given
    months_bound bigint: for how many months
    min_monthly_fen bigint: what he agreed to spend a month
    binding bigint?: the binding that it brought
    actor text
    """,
    key=("bucket", "position"),
    same=("member_id", "campaign_id", "tier", "unit_id"),
    least=("prepaid_fen",),
    day="occurred_at",
    within={
        "cohort_id": "v.member_id IN (SELECT member_id FROM cohort_member"
        " WHERE cohort_id = ANY (%(cohort_id)s))",
    },
)
view(
    "offers",
    "Everybody who was drawn: to be offered a campaign, or into its control group.",
    f"""
    SELECT bucket, position, member_id, campaign_id, arm, occurred_at, tier
    FROM {counted("campaign.offered")} e
    """,
    """
    bucket smallint
    position bigint
    member_id text
    campaign_id text
    arm text: offered or control
    occurred_at timestamptz
    tier text?
    """,
    key=("bucket", "position"),
    same=("member_id", "campaign_id", "arm", "tier"),
    day="occurred_at",
)
view(
    "not_enrolled",
    "Everybody on the network who was drawn to be offered a campaign and has not enrolled in it.",
    f"""
    SELECT o.bucket, o.position, o.member_id, o.campaign_id, o.occurred_at, o.tier, u.unit_id
    FROM {counted("campaign.offered")} o
    JOIN unit_span u ON u.member_id = o.member_id AND u.bucket = o.bucket AND u.until IS NULL
    WHERE o.arm = 'offered' AND {ON_NETWORK.format("o", "'infinity'::timestamptz")}
        AND NOT EXISTS (
            SELECT FROM {counted("campaign.enrolled")} e WHERE e.member_id = o.member_id
                AND e.bucket = o.bucket AND e.campaign_id = o.campaign_id
        )
    """,
    """
    bucket smallint
    position bigint
    member_id text
    campaign_id text
    occurred_at timestamptz: when he was drawn
    tier text?
    unit_id text: his unit now
    """,
    key=("bucket", "position"),
    same=("member_id", "campaign_id", "tier", "unit_id"),
    day="occurred_at",
)
