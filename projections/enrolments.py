"""Enrolments and offers: who was drawn for a campaign, and who took part."""

from domain.enrolments import Arm
from projections.engine.event_tables import counted
from projections.engine.names import closed
from projections.engine.views import view

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
